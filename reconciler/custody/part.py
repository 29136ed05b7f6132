"""What has arrived of one artifact, on the way to being a copy: the only writer of artifact bytes.

Each effect is named to the trace right before it; a comment says what a crash there leaves. Which bytes
are right is left to the caller, and so is when a copy that was placed has to be durable.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.core.verify import CHUNK
from reconciler.errors import Reason, Transient
from reconciler.machine import locks
from reconciler.machine.disk import faults, sync_folder, write_all
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
            self._close()
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
            self._close()

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
        """Make it the copy, which `settle` makes durable. Before the rename a crash leaves a part.

        What is there already gives way to durable bytes only: a power cut must not take both.
        """
        if os.path.lexists(copy):
            try:
                with disk(self._path):
                    self._trace("custody:sync")
                    os.fsync(self._descriptor)
            except Transient:
                self.remove()  # as in `settle`
                raise
        with disk(copy):
            self._trace("custody:place")
            self._path.rename(copy)

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
        with disk(self._path), suppress(FileNotFoundError):
            # Whoever held it before may have placed the file: then this descriptor is of a whole copy.
            if locks.take(self._descriptor) and os.path.samestat(os.fstat(self._descriptor), self._path.lstat()):
                return
        raise Transient(
            Reason.CUSTODY_UNAVAILABLE,
            f"{self._path} is in use: another process fetches the same artifact",
            "nothing to do: it is tried again later",
        )

    def _close(self) -> None:
        locks.free(self._descriptor)
        os.close(self._descriptor)

    def _read(self, position: int) -> bytes:
        with disk(self._path):
            return os.pread(self._descriptor, CHUNK, position)


def settle(descriptor: int, copy: Path, trace: Trace) -> None:
    """Make a copy durable, once: its mode says whether it was. A crash in between leaves a copy that is not sealed.

    Args:
        descriptor: The copy, open.
        copy: Its place.
        trace: Called with `custody:<step>` right before each effect.

    Raises:
        Transient: `CustodyUnavailable`. After a failed sync the copy is gone: the kernel reports a failed write-back
            once and calls the lost pages clean, so what reads well now may not be on the disk.
    """
    with disk(copy):
        if os.fstat(descriptor).st_mode & stat.S_IWUSR == 0:
            return
        try:
            trace("custody:sync")
            os.fsync(descriptor)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        trace("custody:sync-folder")
        sync_folder(copy.parent)
        sync_folder(copy.parent.parent)  # the folder may be as new as the copy
        trace("custody:seal")
        os.fchmod(descriptor, 0o400)


def disk(path: Path) -> AbstractContextManager[None]:
    """Around our own effects only: a full or failing disk of ours is not the source's fault."""
    hint = "check that the disk of the state folder is mounted, writable and sound"
    return faults(path, Reason.CUSTODY_UNAVAILABLE, hint)
