"""The pictures that the documentation keeps are those of the pages there are, and small."""

from __future__ import annotations

from tests.browser.pictures import ALL_BYTES, BYTES, FOLDER, pictures


def test_every_picture_is_kept_and_none_is_left_of_a_page_that_is_gone() -> None:
    kept = {file.name: file.stat().st_size for file in FOLDER.glob("*.webp")}
    assert set(kept) == {picture.file for picture in pictures()}, "make them again: python -m tests.browser.pictures"
    assert {name: size for name, size in kept.items() if size > BYTES} == {}
    assert sum(kept.values()) < ALL_BYTES
