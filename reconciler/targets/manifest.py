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
from typing import NamedTuple

from reconciler.disk import Folder
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
        return cls(path, False, f"{mode:04o}", size, sha256)


ROOT = Item.for_folder("", 0o755)
"""The release's own folder."""


def printable(text: str) -> str:
    """A path or link from the disk, where anybody may have named it, for terminals, pages and databases."""
    clean = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return clean if len(clean) <= MAX_SHOWN else clean[: MAX_SHOWN - 3] + "..."


def kind_of(found: os.stat_result) -> str:
    """What stands at a path, in words."""
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something unknown")


class Comparison:
    """One walk over a release's tree, held against its items.

    Args:
        items: What must be there.
        trust_times: Take the fast way.
    """

    def __init__(self, items: Iterable[Item], *, trust_times: bool) -> None:
        self._missing = {item.path: item for item in items}
        self._trust_times = trust_times
        self.drift: list[Drift] = []
        self.seen: list[Item] = []
        """The items as they stand on the disk, with their times and inodes, where nothing differs."""

    def walk(self, release: Folder) -> tuple[Drift, ...]:
        """Compare; at most `MAX_DRIFT` differences, in the order of their paths."""
        self._check_mode(ROOT, os.fstat(release.fd), ".")
        self._walk(release, "")
        for item in self._missing.values():
            self._differs(item.path, DriftKind.MISSING, "a folder" if item.folder else "a file", "nothing")
        self.drift.sort(key=lambda drift: drift.path)
        return tuple(self.drift[:MAX_DRIFT])

    def _walk(self, folder: Folder, prefix: str) -> None:
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                if len(self.drift) > MAX_DRIFT:
                    return
                try:
                    self._visit(folder, entry, prefix + entry.name)
                except FileNotFoundError:
                    continue  # removed while we look: told as missing

    def _visit(self, folder: Folder, entry: os.DirEntry[str], path: str) -> None:
        found = entry.stat(follow_symlinks=False)
        item = self._missing.get(path)
        if item is None:
            self._differs(path, DriftKind.FOREIGN, "nothing", kind_of(found))
            return
        expected = stat.S_IFDIR if item.folder else stat.S_IFREG
        del self._missing[path]
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
        stamped = Item(*item[:5], found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        self.seen.append(stamped)
        if found.st_size != item.size:
            self._differs(item.path, DriftKind.CONTENT, f"{item.size} bytes", f"{found.st_size} bytes")
        elif not (self._trust_times and stamped == item):
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
