"""What has arrived of one artifact, on the way to being a copy: the only writer of artifact bytes.

Each effect is named to the trace right before it; a comment says what a crash there leaves. Which bytes
are right is left to the caller; a part promises only that what it places is on the disk first.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.core.verify import CHUNK
from reconciler.disk import faults, sync_folder, write_all
from reconciler.errors import Reason, Transient
from reconciler.ports import Trace

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Part:
    """A file that grows: open, and locked against other processes, from entering to leaving.

    Args:
        path: Created when absent, in a folder that exists.
        trace: Called with `custody:<step>` right before each effect.

    Raises:
        Transient: `CustodyUnavailable`, from every method.
    """

    def __init__(self, path: Path, trace: Trace) -> None:
        self._path = path
        self._trace = trace
        self._descriptor = -1

    def __enter__(self) -> Self:
        with disk(self._path):
            self._descriptor = self._open()
        try:
            self._lock()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(OSError):  # an empty part is of no use; a fault that is under way says more than this one
                if os.fstat(self._descriptor).st_size == 0:
                    self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def chunks(self) -> Iterator[bytes]:
        """What is there, from its start."""
        position = 0
        while chunk := self._read(position):
            position += len(chunk)
            yield chunk

    def write(self, chunk: bytes) -> None:
        """Append all of it."""
        with disk(self._path):
            self._trace("custody:write")
            write_all(self._descriptor, chunk)

    def restart(self) -> None:
        """Forget what is there."""
        with disk(self._path):
            self._trace("custody:restart")
            os.ftruncate(self._descriptor, 0)

    def place(self, copy: Path) -> None:
        """Make it the copy, for good. Before the rename a crash leaves a part, after it a whole copy."""
        try:
            with disk(self._path):
                self._trace("custody:sync")
                os.fsync(self._descriptor)
        except Transient:
            # The kernel reports a failed write-back once, and calls the lost pages clean: don't resume on them.
            self.remove()
            raise
        with disk(copy):
            self._trace("custody:seal")
            os.fchmod(self._descriptor, 0o400)
            self._trace("custody:place")
            self._path.rename(copy)
            self._trace("custody:sync-folder")
            sync_folder(copy.parent)

    def remove(self) -> None:
        """Take it away."""
        with disk(self._path):
            self._trace("custody:remove")
            self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        try:
            descriptor = os.open(self._path, _APPEND, 0o600)
        except PermissionError:  # sealed, and the process ended before the rename
            self._path.chmod(0o600)
            descriptor = os.open(self._path, _APPEND, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "not a regular file")
        return descriptor

    def _lock(self) -> None:
        """The lock ends with the process that holds it, however it ends."""
        with disk(self._path), suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have placed the file: then this descriptor is of a whole copy.
            if os.path.samestat(os.fstat(self._descriptor), self._path.lstat()):
                return
        raise Transient(
            Reason.CUSTODY_UNAVAILABLE,
            f"{self._path} is in use: another process fetches the same artifact",
            "nothing to do: it is tried again later",
        )

    def _read(self, position: int) -> bytes:
        with disk(self._path):
            return os.pread(self._descriptor, CHUNK, position)


def disk(path: Path) -> AbstractContextManager[None]:
    """Around our own effects only: a full or failing disk of ours is not the source's fault."""
    hint = "check that the disk of the state folder is mounted, writable and sound"
    return faults(path, Reason.CUSTODY_UNAVAILABLE, hint)
