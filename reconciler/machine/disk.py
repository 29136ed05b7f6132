"""Every touch of the disk for a release: reading through `Folder`, each effect a named step of `Disk`.

`faults`, `sync_folder` and `write_all` serve whoever else writes what must last: custody and `publish`.

`Disk` calls `trace` with the step's name right before the effect, and nothing else in the project
changes a target; so a test can stop, fail or kill the process at each step, and progress can be told.
Names are always resolved from an open folder and never through a link. What the steps mean together,
and in which order they keep the promises, is left to `targets`.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from reconciler.core.verify import CHUNK
from reconciler.errors import Reason, Transient
from reconciler.ports import Trace

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o700
_PERMISSIONS = 0o7777
_HINTS = {
    errno.ENOSPC: "the disk is full: make room, nothing else needs to be done",
    errno.EDQUOT: "the disk quota is used up: make room, nothing else needs to be done",
    errno.EROFS: "the file system is mounted read-only: mount it writable",
    errno.EIO: "the disk reports errors: look at the kernel's log",
    errno.EXDEV: "a folder inside of it is a mount of its own: renames there need a single file system",
    errno.EMFILE: "the process has too many open files: raise its limit",
}


@contextmanager
def faults(
    place: str | Path, reason: Reason = Reason.TARGET_UNAVAILABLE, hint: str = "look at this place on the disk"
) -> Iterator[None]:
    """Inside, a fault of the disk comes out as Transient: try again later, and what a person can do meanwhile.

    Args:
        place: What the message names.
        reason: Whose disk it is.
        hint: For a fault that does not say by itself what would mend it.
    """
    try:
        yield
    except OSError as error:
        raise Transient(reason, f"{place}: {_words(error, place)}", _hint(error) or hint) from error


def _words(error: OSError, place: str | Path) -> str:
    words = os.strerror(error.errno) if error.errno else error.strerror or str(error)
    name = error.filename
    return f"{words} at {name!a}" if isinstance(name, str) and name not in ("", str(place)) else words


def _hint(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"give the user that runs reconciler (uid {os.geteuid()}) the right to read and write there"
    return _HINTS.get(error.errno or 0, "")


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, chunk: bytes) -> None:
    """Write every byte, however often the kernel takes only some of them."""
    written = os.write(fd, chunk)
    while written < len(chunk):
        written += os.write(fd, memoryview(chunk)[written:])


class Written(NamedTuple):
    """A file that was written: the size and the SHA-256 of what was given, and what the file system says of it."""

    size: int
    sha256: str
    mtime_ns: int
    ctime_ns: int
    inode: int


class Folder:
    """An open folder. Reading only; everything is resolved from here, whatever happens to the path."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open by path, through links: only for paths that the operator chose."""
        return cls(os.open(path, _OPEN_FOLDER & ~os.O_NOFOLLOW))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def folder(self, name: str) -> Folder:
        """A folder in this one. NotADirectoryError for anything else, links to folders too."""
        return Folder(os.open(name, _OPEN_FOLDER, dir_fd=self.fd))

    def names(self) -> list[str]:
        """What is in it, in no order."""
        return os.listdir(self.fd)  # noqa: PTH208  # a Path can't be made from an open folder

    def lstat(self, name: str) -> os.stat_result | None:
        """What stands at a name, links not followed; None where nothing does."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Whether a real folder stands at a name."""
        found = self.lstat(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def readlink(self, name: str) -> str:
        """Where a link points to."""
        return os.readlink(name, dir_fd=self.fd)

    def read(self, name: str, limit: int) -> bytes | None:
        """Up to `limit` bytes from the start of a regular file; None where there is none."""
        try:
            fd = os.open(name, _OPEN_FILE, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # nothing, a link, a socket
                return None
            raise
        try:
            return _read_up_to(fd, limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    def sha256(self, name: str) -> str:
        """The digest of a regular file's bytes, in lower-case hex. Never waits for a FIFO's other end."""
        fd = os.open(name, _OPEN_FILE, dir_fd=self.fd)
        try:
            digest = hashlib.sha256()
            while chunk := os.read(fd, CHUNK):
                digest.update(chunk)
            return digest.hexdigest()
        finally:
            os.close(fd)


class Disk:
    """The effects, each behind the name of its step. Faults are OSErrors: see `faults`."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def make_folder(self, step: str, parent: Folder, name: str, mode: int) -> None:
        """Create a folder with exactly these permissions, whatever the umask; there already is fine.

        A crash leaves an empty folder, or none.
        """
        self._trace(step)
        try:
            os.mkdir(name, mode, dir_fd=parent.fd)
        except FileExistsError:
            return
        with parent.folder(name) as made:
            os.fchmod(made.fd, mode)

    def set_mode(self, step: str, folder: Folder, mode: int) -> None:
        """Give an open folder exactly these permissions. A crash leaves them as they were."""
        self._trace(step)
        os.fchmod(folder.fd, mode)

    def write_file(self, step: str, folder: Folder, name: str, mode: int, chunks: Iterable[bytes]) -> Written:
        """Write a new file and hash it on the way. Not durable yet: see the syncs.

        A crash leaves a part of the file, in a folder that nobody but the next try's clean-up looks at.
        """
        self._trace(step)
        fd = os.open(name, _NEW_FILE, mode, dir_fd=folder.fd)
        try:
            digest = hashlib.sha256()
            size = 0
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                write_all(fd, chunk)
            found = os.fstat(fd)
            if found.st_mode & _PERMISSIONS != mode:  # the umask took some
                os.fchmod(fd, mode)
                found = os.fstat(fd)
        finally:
            os.close(fd)
        return Written(size, digest.hexdigest(), found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def sync(self, step: str, folder: Folder) -> None:
        """Make a folder's list of names durable. After a power cut before it, recent renames may be undone."""
        self._trace(step)
        os.fsync(folder.fd)

    def sync_tree(self, step: str, folder: Folder, meanwhile: Callable[[], None] | None = None) -> None:
        """Make a tree durable: contents, names and permissions; and whatever else waits on its file system.

        Before it, a power cut may leave files that are empty: so it comes before the rename that shows them.

        Args:
            step: For the trace.
            folder: The tree.
            meanwhile: What there is to do while the disk works. Its error comes out once the sync has ended.
        """
        self._trace(step)
        if meanwhile is None:
            _sync_tree(folder)
            return
        with ThreadPoolExecutor(1, "sync") as pool:
            synced = pool.submit(_sync_tree, folder)
            meanwhile()
        synced.result()

    def sync_names(self, step: str, folders: Iterable[Folder]) -> None:
        """Make the lists of names of some folders durable."""
        self._trace(step)
        for folder in folders:
            os.fsync(folder.fd)

    def put_record(self, step: str, work: Folder, into: Folder, name: str, data: bytes) -> None:
        """Replace a small file in one step, by way of a working folder on the same file system."""
        self.write_file(f"{step}:write", work, name, 0o600, (data,))
        # A crash up to the rename leaves the old file in its place and a stray one in the working folder.
        self._trace(f"{step}:sync")
        fd = os.open(name, _OPEN_FILE, dir_fd=work.fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self.move(f"{step}:rename", work, name, into, name)
        # A process that dies here has done it; after a power cut the old file may be back, whole.
        self.sync(f"{step}:settle", into)

    def put_link(self, step: str, work: Folder, into: Folder, name: str, to: str) -> None:
        """Point a link elsewhere in one step: readers see the old or the new one, and never none."""
        self._trace(f"{step}:link")
        os.symlink(to, name, dir_fd=work.fd)
        # A crash up to the rename leaves a stray link in the working folder.
        self.move(step, work, name, into, name)
        self.sync(f"{step}:settle", into)

    def move(self, step: str, source: Folder, name: str, into: Folder, new_name: str) -> None:
        """Rename. A crash leaves it done or not done."""
        self._trace(step)
        os.rename(name, new_name, src_dir_fd=source.fd, dst_dir_fd=into.fd)

    def empty(self, step: str, folder: Folder) -> None:
        """Remove everything in a folder, links themselves and never what they point to.

        A crash leaves a part; done again it removes the rest. Folders found inside are first moved up
        here, so that neither stack nor open files grow with a tree's depth.
        """
        while names := folder.names():
            for name in names:
                self._remove(step, folder, name)

    def remove_folder(self, step: str, parent: Folder, name: str) -> bool:
        """Remove an empty folder; gone already is fine. False when somebody still puts things into it."""
        self._trace(step)
        try:
            os.rmdir(name, dir_fd=parent.fd)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
        return True

    def _remove(self, step: str, pit: Folder, name: str) -> None:
        if not pit.is_folder(name):
            self._trace(step)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=pit.fd)
            return
        # Permissions that drifted must not keep a folder from being removed. Nobody else gets into the pit.
        os.chmod(name, _PRIVATE, dir_fd=pit.fd)
        with pit.folder(name) as inner, os.scandir(inner.fd) as found:
            for entry in list(found):  # removing while listing may hide names on some file systems
                self._trace(step)
                if entry.is_dir(follow_symlinks=False):
                    # The inode number names it: no other folder in the pit can have the same one.
                    os.chmod(entry.name, _PRIVATE, dir_fd=inner.fd)
                    os.rename(entry.name, f"folder-{entry.inode()}", src_dir_fd=inner.fd, dst_dir_fd=pit.fd)
                else:
                    os.unlink(entry.name, dir_fd=inner.fd)
        self.remove_folder(step, pit, name)


def _read_up_to(fd: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (chunk := os.read(fd, min(limit, CHUNK))):
        parts.append(chunk)
        limit -= len(chunk)
    return b"".join(parts)


def _syncfs(fd: int) -> bool:
    """One `syncfs(2)` instead of many fsyncs; False where the C library or the kernel has none.

    The folder was open before anything was written, so write errors since then are reported (Linux 5.8).
    """
    call = getattr(_LIBC, "syncfs", None)
    if call is None:
        return False
    if call(fd) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return False
    raise OSError(number, os.strerror(number))


def _sync_tree(folder: Folder) -> None:
    # One `syncfs`, also for three files: an fsync each takes three times as long, and the kernel lets several
    # workers that call it at once share one commit of the journal.
    if not _syncfs(folder.fd):
        _fsync_tree(folder)


def _fsync_tree(folder: Folder) -> None:
    with os.scandir(folder.fd) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                with folder.folder(entry.name) as inner:
                    _fsync_tree(inner)
                continue
            fd = os.open(entry.name, _OPEN_FILE, dir_fd=folder.fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    os.fsync(folder.fd)


_LIBC = ctypes.CDLL(None, use_errno=True)
