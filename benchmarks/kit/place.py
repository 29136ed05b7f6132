"""Where the benchmarks work: an ext4 with a journal of its own, on a loop mount, where that can be had.

A file system without a journal, or one that others write to, makes the same unpacking take five times as long from
one minute to the next, so the numbers from there say little. Only root can mount; without, the folder for temporary
files is used, and the results say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = "12G"
"""Of the image; it is sparse, so only what is written takes room."""
_FRESH_OPTIONS = "lazy_itable_init=0,lazy_journal_init=0"
"""Else the kernel goes on with it in the background while we measure."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to work in, and what it is."""

    folder: Path
    told: str


@contextmanager
def place() -> Iterator[Place]:
    """A place of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_TMPDIR")) as base:
        mount = Path(base) / "mount"
        mount.mkdir()
        problem = _mount(Path(base) / "image", mount)
        if problem:
            yield Place(mount, f"the folder for temporary files, not an ext4 of its own: {problem}")
            return
        try:
            yield Place(mount, "an ext4 with a journal, on a loop mount of its own")
        finally:
            subprocess.run(["umount", "--lazy", str(mount)], check=False)


def _mount(image: Path, mount: Path) -> str:
    """Make and mount it; returns why that can't be done, or nothing."""
    if os.geteuid() != 0:
        return "only root can mount"
    if missing := [tool for tool in ("truncate", "mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]:
        return f"{', '.join(missing)} is missing"
    for argv in (
        ["truncate", "--size", SIZE, str(image)],
        ["mkfs.ext4", "-q", "-O", "has_journal", "-E", _FRESH_OPTIONS, str(image)],
        ["mount", "-o", "loop", str(image), str(mount)],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            return " ".join(done.stderr.split()) or f"{argv[0]} ended with {done.returncode}"
    return ""
