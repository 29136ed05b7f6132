"""Two artifacts side by side; and that an artifact is listed exactly as it would be unpacked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from reconciler.archive.listing import listing
from reconciler.bounds import Bounds
from reconciler.core.contents import Changes, FileChange, FileFact, compare
from reconciler.core.verify import VerifiedArtifact, verify
from reconciler.errors import Reason, Terminal
from reconciler.model import Digest
from tests.archives import zip_of
from tests.factories import sha256

ONE, TWO = FileFact(1, False, Digest("1" * 64)), FileFact(20, False, Digest("2" * 64))
PROGRAM = FileFact(1, True, Digest("1" * 64))


def paths(changes: Changes) -> tuple[list[str], list[str], list[str]]:
    added, changed, removed = (
        [change.path for change in side] for side in (changes.added, changes.changed, changes.removed)
    )
    return added, changed, removed


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {}, ([], [], []), id="nothing and nothing"),
        pytest.param({}, {"a": ONE}, (["a"], [], []), id="the first artifact is all new"),
        pytest.param({"a": ONE}, {"a": ONE}, ([], [], []), id="the same"),
        pytest.param({"a": ONE}, {"a": TWO}, ([], ["a"], []), id="another content"),
        pytest.param({"a": ONE}, {"a": PROGRAM}, ([], ["a"], []), id="only the executable bit"),
        pytest.param({"a": ONE, "b": ONE}, {"b": ONE, "c": ONE}, (["c"], [], ["a"]), id="one comes, one goes"),
        pytest.param({"a": ONE}, {"a/b": ONE}, (["a/b"], [], ["a"]), id="a file becomes a folder"),
    ],
)
def test_the_files_that_differ(
    old: dict[str, FileFact], new: dict[str, FileFact], expected: tuple[list[str], list[str], list[str]]
) -> None:
    assert paths(compare(old, new)) == expected


def test_totals_are_of_all_files() -> None:
    changes = compare({"a": ONE, "b": TWO, "c": ONE}, {"a": TWO, "b": TWO})
    assert (changes.total, changes.unchanged, changes.bytes_before, changes.bytes_after) == (2, 1, 22, 40)
    assert changes.every == (FileChange("a", ONE, TWO), FileChange("c", ONE, None))


def verified(data: bytes) -> VerifiedArtifact:
    return verify(io.BytesIO(data), sha256(data), len(data))


def test_an_artifact_is_listed_with_sizes_hashes_and_the_executable_bit(tmp_path: Path) -> None:
    data = zip_of({"bin/app": b"#!/bin/sh\n", "lib/": None, "lib/x.txt": b"x" * 5000}, {"bin/app": 0o755})
    assert listing(verified(data), Bounds(), tmp_path) == {
        "bin/app": FileFact(10, True, sha256(b"#!/bin/sh\n")),
        "lib/x.txt": FileFact(5000, False, sha256(b"x" * 5000)),
    }


def test_an_inner_archive_is_listed_as_it_is_unpacked_and_leaves_nothing(tmp_path: Path) -> None:
    outer = zip_of({"shop.zip": zip_of({"a": b"1"})})
    assert set(listing(verified(outer), Bounds(), tmp_path, "inner")) == {"a"}
    assert set(listing(verified(outer), Bounds(), tmp_path)) == {"shop.zip"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        pytest.param(Bounds(unpacked_bytes=10), Reason.ARTIFACT_TOO_LARGE, id="more bytes than allowed"),
        pytest.param(Bounds(unpacked_files=1), Reason.ARTIFACT_TOO_LARGE, id="more files than allowed"),
    ],
)
def test_the_bounds_of_unpacking_hold_for_a_listing(tmp_path: Path, bounds: Bounds, reason: Reason) -> None:
    data = zip_of({"a": b"1" * 6, "b": b"2" * 6})
    with pytest.raises(Terminal) as refused:
        listing(verified(data), bounds, tmp_path)
    assert refused.value.reason is reason


def test_what_can_t_be_deployed_can_t_be_listed(tmp_path: Path) -> None:
    with pytest.raises(Terminal) as refused:
        listing(verified(zip_of({"../evil": b"x"})), Bounds(), tmp_path)
    assert refused.value.reason is Reason.ARTIFACT_UNSAFE
