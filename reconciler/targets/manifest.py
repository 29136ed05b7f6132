"""What a release must look like, path by path, and in which way a tree differs from it.

Reading only. The fast way trusts a file whose size, times and inode are those of the moment when it
was verified: nobody can set a ctime back without setting the clock. All others are hashed anew, so a
file that was only touched is no drift. A disk that flips bits beneath its file system escapes the fast
way; the full way, taken before a retained release is made live again, finds it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple

from reconciler.machine.disk import Folder, Written
from reconciler.model import Drift, DriftKind

MAX_DRIFT = 200
"""Most differences that are told; behind them it only matters that there are more."""
MAX_SHOWN = 300
"""Characters of a path or link that are shown."""

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Item(NamedTuple):
    """One path of a release. For a folder, size and what follows are empty."""

    path: str
    folder: bool
    mode: str
    """Four octal digits."""
    size: int
    sha256: str
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0

    @classmethod
    def for_folder(cls, path: str, mode: int) -> Item:
        """A folder."""
        return cls(path, True, f"{mode:04o}", 0, "")

    @classmethod
    def for_file(cls, path: str, mode: int, size: int, sha256: str) -> Item:
        """A file that was not seen on the disk yet."""
        return cls(path, False, _octal(mode), size, sha256)

    @classmethod
    def written(cls, path: str, mode: int, file: Written) -> Item:
        """A file as it was written."""
        return cls(path, False, _octal(mode), *file)


Row = Item | list[Any]
"""An item, or a list of its fields: of 10,000 rows that are as they should be, no item is made."""

_MODE, _SIZE, _MTIME, _CTIME, _INODE = map(Item._fields.index, ("mode", "size", "mtime_ns", "ctime_ns", "inode"))
_OCTAL = {mode: f"{mode:04o}" for mode in (0o644, 0o755)}
_FILE_MODES: dict[object, int] = {text: stat.S_IFREG | mode for mode, text in _OCTAL.items()}

ROOT = Item.for_folder("", 0o755)
"""The release's own folder."""


def printable(text: str) -> str:
    """A path or link from the disk, where anybody may have named it, for terminals, pages and databases."""
    clean = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return clean if len(clean) <= MAX_SHOWN else clean[: MAX_SHOWN - 3] + "..."


def kind_of(found: os.stat_result) -> str:
    """What stands at a path, in words."""
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something unknown")


def _octal(mode: int) -> str:
    return _OCTAL.get(mode) or f"{mode:04o}"


def _as_verified(row: Row, found: os.stat_result) -> bool:
    """Whether a file is as it was when it was verified, by all that `stat` says of it."""
    return (
        found.st_ctime_ns == row[_CTIME]
        and found.st_mtime_ns == row[_MTIME]
        and found.st_ino == row[_INODE]
        and found.st_size == row[_SIZE]
        and found.st_mode == _FILE_MODES.get(row[_MODE])
    )


class Comparison:
    """One walk over a release's tree, held against its rows.

    Args:
        rows: What must be there: items, or lists in the order of their fields, as a manifest has them.
        trust_times: Take the fast way.
    """

    def __init__(self, rows: Iterable[Row], *, trust_times: bool) -> None:
        self._missing: dict[str, Row] = {row[0]: row for row in rows}
        self._trust_times = trust_times
        self.drift: list[Drift] = []
        self.seen: list[Item] = []
        """The items as they stand on the disk, with their times and inodes, where nothing differs; not the trusted."""

    def walk(self, release: Folder) -> tuple[Drift, ...]:
        """Compare; at most `MAX_DRIFT` differences, in the order of their paths."""
        self._check_mode(ROOT, os.fstat(release.fd), ".")
        self._walk(release, "")
        for path, folder, *_ in self._missing.values():
            self._differs(path, DriftKind.MISSING, "a folder" if folder else "a file", "nothing")
        self.drift.sort(key=lambda drift: drift.path)
        return tuple(self.drift[:MAX_DRIFT])

    def _walk(self, folder: Folder, prefix: str) -> None:
        missing, trust_times = self._missing, self._trust_times
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                path = prefix + entry.name
                row = missing.get(path)
                try:
                    found = entry.stat(follow_symlinks=False)
                    if trust_times and row is not None and _as_verified(row, found):
                        del missing[path]
                    else:
                        self._visit(folder, entry, path, found)
                except FileNotFoundError:
                    continue  # removed while we look: told as missing
                if len(self.drift) > MAX_DRIFT:
                    return

    def _visit(self, folder: Folder, entry: os.DirEntry[str], path: str, found: os.stat_result) -> None:
        row = self._missing.pop(path, None)
        if row is None:
            self._differs(path, DriftKind.FOREIGN, "nothing", kind_of(found))
            return
        item = Item(*row)
        expected = stat.S_IFDIR if item.folder else stat.S_IFREG
        if stat.S_IFMT(found.st_mode) != expected:
            self._differs(path, DriftKind.KIND, _KINDS[expected], kind_of(found))
            return
        self._check_mode(item, found, path)
        if item.folder:
            self.seen.append(item)
            with folder.folder(entry.name) as inner:
                self._walk(inner, path + "/")
        else:
            self._check_content(folder, entry.name, item, found)

    def _check_mode(self, item: Item, found: os.stat_result, path: str) -> None:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        if mode != item.mode:
            self._differs(path, DriftKind.MODE, item.mode, mode)

    def _check_content(self, folder: Folder, name: str, item: Item, found: os.stat_result) -> None:
        self.seen.append(Item(*item[:5], found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
        if found.st_size != item.size:
            self._differs(item.path, DriftKind.CONTENT, f"{item.size} bytes", f"{found.st_size} bytes")
        else:
            self._check_hash(folder, name, item)

    def _check_hash(self, folder: Folder, name: str, item: Item) -> None:
        try:
            sha256 = folder.sha256(name)
        except PermissionError:
            sha256 = "unreadable bytes"
        if sha256 != item.sha256:
            self._differs(item.path, DriftKind.CONTENT, f"sha256 {item.sha256[:12]}", sha256[:16])

    def _differs(self, path: str, kind: DriftKind, expected: str, found: str) -> None:
        self.drift.append(Drift(printable(path), kind, expected, found))
