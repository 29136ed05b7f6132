"""Bits that flip beneath the file system, whose times stay as they were: only reading every byte can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from reconciler.model import Drift, DriftKind, RunId
from reconciler.targets import records
from reconciler.targets.layout import ReleaseId
from tests import factories
from tests.archives import zip_of
from tests.directory_targets import TREE_A, A, B, Ground, tree


def _damage(ground: Ground, release: str) -> None:
    """A byte of `version` differs, and the manifest has the times of the damaged file."""
    damaged = ground.path / "releases" / release / "version"
    damaged.write_bytes(b"x")
    times = damaged.stat()
    record = ground.own / "manifests" / f"{release}.json"
    head = records.decode_head(record.read_bytes(), cast("ReleaseId", ReleaseId.parse(release)))
    items = [
        item._replace(mtime_ns=times.st_mtime_ns, ctime_ns=times.st_ctime_ns) if item.path == "version" else item
        for item in records.decode_items(record.read_bytes(), head)
    ]
    record.write_bytes(records.encode_manifest(head.release, head.sha256, head.unpack, head.sequence, items))


def _drift(expected: bytes, found: bytes) -> tuple[Drift, ...]:
    digests = factories.sha256(expected)[:12], factories.sha256(found)[:16]
    return (Drift("version", DriftKind.CONTENT, f"sha256 {digests[0]}", digests[1]),)


def test_a_flipped_bit_is_found_by_the_thorough_look_alone_and_repaired(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    live = ground.apply(A).live
    assert live is not None
    _damage(ground, live.id)
    assert ground.target().observe().drift == ()
    assert ground.target().observe(thorough=True).drift == _drift(b"a", b"x")
    assert ground.apply(A).drift == ()  # although the fast way sees nothing to repair
    assert tree(ground.current) == TREE_A
    assert ground.target().observe(thorough=True).drift == ()


def test_a_flipped_bit_in_a_kept_release_is_found_before_it_is_needed(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.apply(A)
    ground.apply(B, run_id=102)
    _damage(ground, f"101-{factories.sha256(A)[:12]}")
    found = ground.target().readiness(RunId(101), factories.sha256(A))
    assert found is not None
    assert not found.ready
    assert ground.target().observe(thorough=True).drift == ()


@contextmanager
def _mounted(image: Path, at: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 of our own on a loop device, so that a bit can truly be flipped beneath it."""
    if os.geteuid() or shutil.which("mkfs.ext4") is None:
        pytest.skip(
            "flipping a bit beneath a file system takes root and mkfs.ext4; the manifest stands in for it above"
        )
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-O", "has_journal", path], check=True)
    mount = tmp_path / "tried"
    mount.mkdir()
    tried = subprocess.run(["mount", "-o", "loop", path, mount], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no loop device can be mounted here: {tried.stderr.strip()}")
    subprocess.run(["umount", mount], check=True)
    return path


def test_a_bit_flipped_on_the_device_is_found_by_the_thorough_look(image: Path, tmp_path: Path) -> None:
    content = b"only the disk knows that this was changed " * 100
    data = zip_of({"version": content, "other": b"1"})
    disk = tmp_path / "disk"
    disk.mkdir()
    with _mounted(image, disk):
        Ground(disk).apply(data)
    raw = bytearray(image.read_bytes())
    assert raw.count(content) == 1
    raw[raw.index(content) + 1000] ^= 0x10
    image.write_bytes(raw)
    with _mounted(image, disk):
        ground = Ground(disk)
        assert ground.target().observe().drift == ()
        (found,) = ground.target().observe(thorough=True).drift
        assert (found.path, found.kind) == ("version", DriftKind.CONTENT)
        assert ground.apply(data).drift == ()
        assert (ground.current / "version").read_bytes() == content
        assert ground.target().observe(thorough=True).drift == ()
