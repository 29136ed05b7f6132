"""The directory target when its records or its releases were damaged: told, never believed, mended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from reconciler.errors import Transient
from reconciler.model import DriftKind
from reconciler.targets import records
from reconciler.targets.layout import ReleaseId
from tests import factories
from tests.archives import zip_of
from tests.directory_targets import TREE_A, A, B, Ground, next_tick, tree


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def _record(ground: Ground, name: str) -> Path:
    return next(ground.own.glob(name))


@pytest.mark.parametrize("name", ["accepted.json", "manifests/*.json"])
def test_a_record_with_any_bit_flipped_is_told_and_mended(ground: Ground, name: str) -> None:
    ground.apply(A)
    record = _record(ground, name)
    whole, link = record.read_bytes(), ground.current.lstat()
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        record.write_bytes(damaged)
        assert ground.target().observe().drift, f"byte {position} is wrong and believed"
    record.write_bytes(whole[:-200])
    assert ground.target().observe().drift
    assert ground.apply(A).drift == ()
    assert ground.current.lstat() == link


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"null", b"[" * 100_000, b'{"check":"', b"{}"],
    ids=["empty", "no text", "null", "100,000 brackets", "cut off", "empty object"],
)
@pytest.mark.parametrize("name", ["accepted.json", "manifests/*.json"])
def test_a_record_that_is_none_is_as_good_as_missing(ground: Ground, name: str, content: bytes) -> None:
    ground.apply(A)
    _record(ground, name).write_bytes(content)
    assert ground.target().observe().drift
    link = ground.current.lstat()
    assert ground.apply(A).drift == ()
    assert ground.current.lstat() == link


@pytest.mark.parametrize("name", ["accepted.json", "manifests/*.json"])
def test_a_record_that_became_a_link_or_a_fifo_is_not_read(ground: Ground, name: str) -> None:
    ground.apply(A)
    record = _record(ground, name)
    copy = ground.base / "copy"
    copy.write_bytes(record.read_bytes())
    record.unlink()
    os.mkfifo(record)
    assert ground.target().observe().drift
    record.unlink()
    record.symlink_to(copy)
    assert ground.target().observe().drift
    assert ground.apply(A).drift == ()
    assert not record.is_symlink()


def test_the_manifest_of_another_release_does_not_count(ground: Ground) -> None:
    ground.apply(A)
    ground.apply(A, run_id=102)
    first, second = sorted((ground.own / "manifests").iterdir())
    second.write_bytes(first.read_bytes())
    seen = ground.target().observe()
    assert [drift.kind for drift in seen.drift] == [DriftKind.MISSING]
    assert ground.apply(A, run_id=102).drift == ()


def test_bits_that_flipped_beneath_the_file_system_are_found_before_a_rollback(ground: Ground) -> None:
    """Simulated by a manifest whose times are those of the damaged file: only its bytes can tell."""
    ground.apply(A)
    ground.apply(B, run_id=102)
    name = f"101-{factories.sha256(A)[:12]}"
    damaged = ground.path / "releases" / name / "version"
    damaged.write_bytes(b"x")
    times = damaged.stat()
    record = ground.own / "manifests" / f"{name}.json"
    head = records.decode_head(record.read_bytes(), cast("ReleaseId", ReleaseId.parse(name)))
    items = [
        item._replace(mtime_ns=times.st_mtime_ns, ctime_ns=times.st_ctime_ns) if item.path == "version" else item
        for item in records.decode_items(record.read_bytes(), head)
    ]
    record.write_bytes(records.encode_manifest(head.release, head.sha256, head.unpack, head.sequence, items))
    assert ground.apply(A).drift == ()
    assert tree(ground.current) == TREE_A


_FEW = zip_of(TREE_A)
_MANY = zip_of({**TREE_A, **{f"many/{number}": b"%d" % number for number in range(300)}})
MEDDLING: dict[str, Callable[[Path], object]] = {
    "other content": lambda release: (release / "version").write_bytes(b"x"),
    "more content": lambda release: (release / "version").write_bytes(b"xyz"),
    "another mode": lambda release: (release / "version").chmod(0o600),
    "a file too many": lambda release: (release / "new").touch(),
    "a file too few": lambda release: (release / "version").unlink(missing_ok=True),
    "another name": lambda release: (release / "version").rename(release / "other"),
}


@pytest.mark.parametrize("meddle", MEDDLING.values(), ids=MEDDLING)
@pytest.mark.parametrize(
    ("data", "before"), [(_FEW, "target:accept:write"), (_MANY, "target:sync")], ids=["few files", "many files"]
)
def test_what_is_about_to_be_placed_must_be_what_was_written(
    ground: Ground, data: bytes, before: str, meddle: Callable[[Path], object]
) -> None:
    def trace(step: str) -> None:
        if step == before:
            next_tick(ground.base)
            (version,) = ground.own.glob("fence/*/*/version")
            meddle(version.parent)

    with pytest.raises(Transient, match="something else than what was written"):
        ground.apply(data, trace=trace)
    assert ground.releases() == []
    assert not ground.current.exists()
    assert ground.apply(data).drift == ()


def test_what_was_only_touched_before_it_is_placed_is_read_and_taken(ground: Ground) -> None:
    def trace(step: str) -> None:
        if step == "target:sync":
            next_tick(ground.base)
            for version in ground.own.glob("fence/*/*/version"):
                version.touch()

    assert ground.apply(_MANY, trace=trace).drift == ()
    assert ground.target().observe().drift == ()


def test_the_times_in_a_manifest_are_those_on_the_disk(ground: Ground) -> None:
    before = os.umask(0o077)  # so that each file's mode is set once more behind its creation
    try:
        ground.apply(A)
    finally:
        os.umask(before)
    record = _record(ground, "manifests/*.json")
    head = records.decode_head(record.read_bytes(), cast("ReleaseId", ReleaseId.parse(record.stem)))
    items = [item for item in records.decode_items(record.read_bytes(), head) if not item.folder]
    found = {item.path: (ground.current / item.path).stat() for item in items}
    assert {item.path for item in items} == {path for path, data in TREE_A.items() if data is not None}
    for item in items:
        seen = found[item.path]
        assert (item.size, item.mtime_ns, item.ctime_ns, item.inode) == (
            seen.st_size,
            seen.st_mtime_ns,
            seen.st_ctime_ns,
            seen.st_ino,
        )


def test_a_row_of_a_manifest_is_json_whatever_the_path(ground: Ground) -> None:
    paths = ['quoted "so"', "läuft/überall", "with, comma", "[1]"]
    observed = ground.apply(zip_of(dict.fromkeys(paths, b"1")))
    assert observed.live is not None
    rows = json.loads(_record(ground, "manifests/*.json").read_bytes())["rows"]
    assert [row[0] for row in rows] == sorted([*paths, "läuft"])
    assert ground.target().observe(thorough=True).drift == ()
