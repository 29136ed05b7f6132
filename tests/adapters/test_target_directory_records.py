"""The directory target when its records or its releases were damaged: told, never believed, mended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from reconciler.errors import Transient
from reconciler.model import DriftKind
from reconciler.targets import records
from reconciler.targets.layout import ReleaseId
from tests import factories
from tests.directory_targets import TREE_A, A, B, Ground, tree


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


def test_what_is_read_back_must_be_what_was_written(ground: Ground) -> None:
    def meddle(step: str) -> None:
        for written in ground.own.glob("fence/*/*/version"):
            written.write_bytes(b"x")

    with pytest.raises(Transient, match="something else than what was written"):
        ground.apply(A, trace=meddle)
    assert ground.releases() == []
    assert not ground.current.exists()
