"""What is in the artifacts that we have a copy of, for who only looks: hashed anew each time, and never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.custody import contents
from reconciler.custody.contents import KeptContents
from reconciler.model import Digest
from tests.archives import zip_of
from tests.factories import sha256
from tests.site import snapshot

DATA = zip_of({"bin/app": b"#!/bin/sh\n", "lib/one.txt": b"one"}, {"bin/app": 0o755})
DIGEST = Digest(sha256(DATA))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put(tmp_path / "custody", DIGEST, DATA)


def put(root: Path, digest: str, data: bytes) -> Path:
    copy = root / "sha256" / digest[:2] / digest
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(data)
    return root


def kept(root: Path) -> KeptContents:
    return KeptContents(root, Bounds(), root.parent / "spool")


def test_every_file_is_listed_with_its_size_and_digest_and_nothing_is_written(root: Path) -> None:
    before = snapshot(root.parent)
    found = kept(root)(DIGEST, "outer")
    assert found is not None
    assert {path: (fact.size, fact.executable, fact.sha256) for path, fact in found.items()} == {
        "bin/app": (10, True, sha256(b"#!/bin/sh\n")),
        "lib/one.txt": (3, False, sha256(b"one")),
    }
    assert snapshot(root.parent) == before


@pytest.mark.parametrize(
    "digest", [sha256(b"another"), "", "../../etc/passwd", "a" * 63, DIGEST.upper(), f"{DIGEST}\n"]
)
def test_what_we_have_no_copy_of_is_not_listed(digest: str, root: Path) -> None:
    assert kept(root)(Digest(digest), "outer") is None


def test_a_copy_that_is_not_what_its_name_says_or_no_archive_is_not_listed_and_stays(root: Path) -> None:
    other = b"no archive at all"
    put(root, DIGEST, DATA + b"x")
    put(root, sha256(other), other)
    link = root / "sha256" / "aa" / ("a" * 64)
    link.parent.mkdir()
    link.symlink_to("/etc/passwd")
    before = snapshot(root)
    look = kept(root)
    assert [look(Digest(one), "outer") for one in (DIGEST, sha256(other), "a" * 64)] == [None] * 3
    assert look(DIGEST, "inner") is None
    assert snapshot(root) == before


def test_the_last_few_answers_are_kept_and_no_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [DIGEST]
    for number in range(contents.KEPT):
        data = zip_of({"file": b"%d" % number})
        put(root, sha256(data), data)
        digests.append(Digest(sha256(data)))
    look = kept(root)
    assert all(look(digest, "outer") for digest in digests)
    for copy in root.glob("sha256/??/*"):
        copy.unlink()
    assert [look(digest, "outer") is not None for digest in digests] == [False] + [True] * contents.KEPT


def test_what_is_kept_takes_only_so_much_memory_however_long_the_names_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = zip_of({f"{'a' * 200}/{'b' * 200}/{number}": b"" for number in range(4)})
    put(root, sha256(long), long)
    monkeypatch.setattr(contents, "KEPT_BYTES", 2_800)
    look, name = kept(root), Digest(sha256(long))
    assert look(DIGEST, "outer")
    assert look(name, "outer")  # with it there would be too much: the older one goes, and it alone is too much as well
    for copy in root.glob("sha256/??/*"):
        copy.unlink()
    assert [look(digest, "outer") for digest in (DIGEST, name)] == [None, None]
