"""A look at a target that reads no content: made of what `stat` says, to be compared with an earlier look alone.

Every entry counts with its inode, mode, size and times of change: `current` and where it points to, the names of the
releases, each record of ours with the manifests and the fence, and every path of the live release. The times of reading
do not, so looking changes nothing. Whatever is done to these paths through the file system changes the answer, and so
does a folder above the target that became a link, or another folder.

It can't see: bytes that flip beneath the file system; what is done within a tick of the kernel's clock, some
milliseconds, after another change of the same file; what lies inside of kept releases and in the folders of tokens,
which is no drift; what is put beside `current` and is not ours. Whoever sets the clock back can forge any time.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from dataclasses import dataclass

from reconciler.targets.layout import CURRENT, FENCE, MANIFESTS, OWN, RELEASES, Place

MAX_REMEMBERED_PATHS = 64
"""Up to so many paths of a target are remembered, so that the next look lists no folder."""
MAX_REMEMBERED = 50_000
"""Targets of which paths are remembered, at some 500 bytes each."""

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BEGINNING = f"{RELEASES}/"
_OUR_FOLDERS = (OWN, f"{OWN}/{MANIFESTS}", f"{OWN}/{FENCE}")


@dataclass(frozen=True, slots=True)
class _Known:
    paths: str
    """All of them, a NUL between two: one string takes less room than many."""
    answer: bytes


class Glances:
    """Looks at targets, and remembers where to look for as long as nothing changes: no name can without its folder."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def at(self, place: Place) -> bytes | None:
        """The look; None: there is nothing yet, or it can't be told."""
        try:
            return self._look(place)
        except OSError:
            return None

    def _look(self, place: Place) -> bytes | None:
        path = str(place)
        numbers = _way(place)
        fd = os.open(path, _OPEN)
        try:
            live = os.readlink(CURRENT, dir_fd=fd)
            known = self._known.get(path)
            if known and _answer(numbers + _stats(fd, known.paths.split("\0")), live) == known.answer:
                return known.answer
            if (
                not live.startswith(_BEGINNING)
                or live.removeprefix(_BEGINNING) in ("", ".", "..")
                or live.count("/") > 1
            ):
                return None
            paths, found = _walk(fd, live)
        finally:
            os.close(fd)
        answer = _answer(numbers + found, live)
        self._remember(path, paths, answer)
        return answer

    def _remember(self, path: str, paths: list[str], answer: bytes) -> None:
        if len(paths) > MAX_REMEMBERED_PATHS:
            self._known.pop(path, None)
            return
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[path] = _Known("\0".join(paths), answer)


def _answer(numbers: list[int], live: str) -> bytes:
    return hashlib.blake2b(array("q", numbers).tobytes() + os.fsencode(live), digest_size=16).digest()


def _way(place: Place) -> list[int]:
    """Which folders lead here. Their times are those of everything else in them and do not count."""
    path = str(place.root)
    numbers: list[int] = []
    for name in place.below:
        path = f"{path}/{name}"
        found = os.lstat(path)
        numbers += (found.st_dev, found.st_ino, found.st_mode)
    return numbers


def _stats(fd: int, paths: list[str]) -> list[int]:
    numbers: list[int] = []
    for path in paths:
        found = os.stat(path, dir_fd=fd, follow_symlinks=False)
        numbers += (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return numbers


def _walk(fd: int, live: str) -> tuple[list[str], list[int]]:
    """Each path that counts, and what `_stats` says of it."""
    paths = [CURRENT, RELEASES, OWN, live]
    numbers = _stats(fd, paths)
    for folder in _OUR_FOLDERS:
        _list(fd, folder, paths, numbers)
    folders = [live]
    while folders:
        folders += _list(fd, folders.pop(), paths, numbers)
    return paths, numbers


def _list(fd: int, folder: str, paths: list[str], numbers: list[int]) -> list[str]:
    """Add the entries of one folder; gives the folders among them."""
    folders = []
    inner = os.open(folder, _LIST, dir_fd=fd)
    try:
        with os.scandir(inner) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                numbers += (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                path = f"{folder}/{entry.name}"
                paths.append(path)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(path)
    finally:
        os.close(inner)
    return folders
