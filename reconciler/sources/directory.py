"""Runs in a folder on this machine, or on a file system mounted on it.

Whoever may write to that folder may put anything there, so nothing below the root is followed or waited
for: each step opens relative to the folder before it, symbolic links are refused, and only regular files
are read. What the bytes are is judged elsewhere, from their digest. The root itself is the operator's
word and may be a link. When it is absent, nothing is known (`Transient`), while a run that is absent
below it is not there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from reconciler.bounds import Bounds
from reconciler.core.verify import CHUNK
from reconciler.errors import Transient
from reconciler.model import Artifact, Run, RunId
from reconciler.ports import ArtifactStream, Parts, Source
from reconciler.sources import layout

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""O_NONBLOCK: opening a FIFO would wait for its writer for ever."""


class Options(BaseModel):
    """What the operator sets for this source."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    root: Path = Field(strict=False, description="the folder that holds one folder for each run")


def create(options: Mapping[str, object], parts: Parts) -> Source:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this source takes.
    """
    return DirectorySource(Options.model_validate(dict(options)).root, parts.bounds)


class DirectorySource:
    """Reads the layout of `layout` below one root."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds

    def run(self, run_id: RunId) -> Run:
        """What `run.json` says; absent together with its folder or without it, there is no such run."""
        place = self._place(run_id, layout.RUN_FILE)
        try:
            with self._file(run_id, layout.RUN_FILE) as descriptor:
                data = _read(descriptor, self._bounds.run_file_bytes + 1)
        except FileNotFoundError:
            raise layout.run_not_found(place, run_id) from None
        except OSError as error:
            raise _fault(place, error) from None
        return layout.read_run(place, data, run_id, self._bounds)

    def open(self, run: Run, artifact: Artifact, offset: int) -> AbstractContextManager[ArtifactStream]:
        """The artifact's bytes; from 0 when the file is shorter than `offset`."""
        return self._stream(run, artifact, offset)

    @contextmanager
    def _stream(self, run: Run, artifact: Artifact, offset: int) -> Iterator[ArtifactStream]:
        place = self._place(run.run_id, artifact.file)
        context = self._file(run.run_id, artifact.file)
        try:
            descriptor = context.__enter__()
        except FileNotFoundError:
            raise layout.artifact_missing(place, run, artifact) from None
        except OSError as error:
            raise _fault(place, error) from None
        try:
            size = os.fstat(descriptor).st_size
            yield _FileStream(offset if offset <= size else 0, size, descriptor, place)
        finally:
            context.__exit__(None, None, None)

    @contextmanager
    def _file(self, run_id: RunId, name: str) -> Iterator[int]:
        """A descriptor of one regular file of one run. FileNotFoundError: the run or the file is absent."""
        with self._folder(run_id) as folder:
            descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise layout.unavailable(
                    f"{self._place(run_id, name)} is not a regular file", "replace it by the file itself"
                )
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _folder(self, run_id: RunId) -> Iterator[int]:
        try:
            root = os.open(self._root, _FOLDER)
        except OSError as error:
            raise _fault(str(self._root), error) from None
        try:
            folder = os.open(str(run_id), _FOLDER | os.O_NOFOLLOW, dir_fd=root)
        finally:
            os.close(root)
        try:
            yield folder
        finally:
            os.close(folder)

    def _place(self, run_id: RunId, name: str) -> str:
        return str(self._root / str(run_id) / name)


@dataclass(frozen=True, slots=True)
class _FileStream:
    """An open file from `offset` on. `size` is what it had when it was opened."""

    offset: int
    size: int
    descriptor: int
    place: str

    def __iter__(self) -> Iterator[bytes]:
        position = self.offset
        while chunk := self._chunk(position):
            position += len(chunk)
            yield chunk
        if position < self.size:
            raise layout.unavailable(f"{self.place} shrank from {self.size} to {position} bytes while it was read")

    def _chunk(self, position: int) -> bytes:
        try:
            return os.pread(self.descriptor, CHUNK, position)
        except OSError as error:
            raise _fault(self.place, error) from None


def _read(descriptor: int, limit: int) -> bytes:
    """At most `limit` bytes: a file that grows while it is read has an end here."""
    data = b""
    while len(data) < limit and (chunk := os.read(descriptor, limit - len(data))):
        data += chunk
    return data


def _fault(place: str, error: OSError) -> Transient:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return layout.unavailable(
            f"{place}: a symbolic link, or a file where a folder should be, is on the way",
            "put the run's folder and files themselves there; links below the root are not followed",
        )
    return layout.unavailable(
        f"{place} can't be read: {error.strerror or type(error).__name__}",
        "check that the source's root is mounted, and that the daemon's user may read it",
    )
