"""Writes a run for the `directory` and `http` sources: what CI calls at its end. Knows no deploy credentials.

A run appears whole or not at all. Order: everything into a hidden folder beside it, files hashed while
they are copied, `run.json` last; each file synced, the folder synced, then renamed to its run_id, then the
root synced. A crash before the rename leaves a hidden folder that no source looks at and that the next
`publish` removes; after it, the run. Published runs never change: the same content again is no error,
other content under the same run_id is.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.core.verify import CHUNK, Intake
from reconciler.errors import IntegrityError, PolicyDenied, Reason, ReconcilerError, Terminal, Transient
from reconciler.machine import locks
from reconciler.machine.disk import faults, sync_folder, write_all
from reconciler.model import Artifact, Digest, Run
from reconciler.ports import Trace
from reconciler.sources import layout
from reconciler.sources.directory import DirectorySource

_HIDDEN = ".incoming-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INPUT = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def publish(root: Path, facts: Run, files: Mapping[str, Path], trace: Trace, bounds: Bounds) -> Run:
    """Write one run.

    Args:
        root: The folder of runs; created when absent.
        facts: What CI knows of the run. Its `artifacts` are not looked at: they come from `files`.
        files: For each artifact's name the file to copy; stored under its own base name.
        trace: Called with `publish:<step>` right before each effect.
        bounds: Limits that the readers will apply.

    Returns:
        The run with its artifacts' sizes and digests; as it stood before when it was published already,
        in which case `created` is of the first time.

    Raises:
        Terminal: `InvalidRun`: a fact or a file that no source would read back.
        PolicyDenied: `RunExists`: the run is there with other content. `ArtifactTooLarge`.
        Transient: `SourceUnavailable`: the folder can't be written.
    """
    _check(facts, files, bounds)
    with _disk(root):
        if not root.is_dir():
            trace("publish:prepare")
            root.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root, trace)
    with _staging(root, facts, trace) as folder:
        copied = [_copy(name, path, folder, trace, bounds) for name, path in files.items()]
        run = replace(facts, artifacts=tuple(copied))
        with _disk(folder):
            trace("publish:describe")
            _write(folder / layout.RUN_FILE, layout.write_run(run))
            trace("publish:sync")
            sync_folder(folder)
        return _place(root, folder, run, trace, bounds)


def _check(facts: Run, files: Mapping[str, Path], bounds: Bounds) -> None:
    """Reads back what would be written, before anything is: the reader's rules are the only ones."""
    names = [path.name for path in files.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _refused(f"two of the files are called {twice[0]!r}, and they are stored side by side", "rename one")
    if facts.created.tzinfo is None:
        raise _refused("created: a time without a zone", "give the time in UTC")
    stand_ins = tuple(
        Artifact(name, path.name, bounds.artifact_bytes, Digest("0" * 64)) for name, path in files.items()
    )
    try:
        data = layout.write_run(replace(facts, artifacts=stand_ins))
        layout.parse(data, facts.run_id, bounds)
    except UnicodeEncodeError:
        raise _refused("a name or a fact is not Unicode text", "give it in UTF-8") from None
    except layout.Unreadable as problem:
        raise _refused(f"the run can't be described: {problem}", "correct this fact, or rename this file") from None


def _place(root: Path, folder: Path, run: Run, trace: Trace, bounds: Bounds) -> Run:
    """Give the folder its name; or find that the same run has it already."""
    final = root / str(run.run_id)
    with _disk(final):
        try:
            trace("publish:place")
            folder.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            return _published_before(root, run, bounds)
        trace("publish:sync-root")
        sync_folder(root)
    return run


def _published_before(root: Path, run: Run, bounds: Bounds) -> Run:
    """The run as it stands, when it has the same content; the time of publishing is none of it."""
    source = DirectorySource(root, bounds)
    hint = "a published run never changes: publish under a new run_id, so that its digest means one thing for ever"
    try:
        before = source.run(run.run_id)
        if replace(before, created=run.created) == run:
            for artifact in before.artifacts:
                _compare(source, before, artifact)
            return before
    except (PolicyDenied, IntegrityError, Transient) as problem:
        raise _taken(run, f"and can't be read back as it was written: {problem.message}", hint) from None
    raise _taken(run, "with other content", hint)


def _compare(source: DirectorySource, run: Run, artifact: Artifact) -> None:
    assert artifact.sha256 is not None
    intake = Intake(artifact.sha256, artifact.size)
    with source.open(run, artifact, 0) as stream:
        for chunk in stream:
            intake.update(chunk)
    intake.finish()


def _copy(name: str, path: Path, folder: Path, trace: Trace, bounds: Bounds) -> Artifact:
    """Copy one file while hashing it, and make it durable."""
    digest, size = hashlib.sha256(), 0
    with _input(path) as source:
        with _disk(folder):
            trace("publish:copy")
            descriptor = os.open(folder / path.name, _NEW, 0o666)
        with os.fdopen(descriptor, "wb", buffering=0) as copy:
            while chunk := _chunk(source, path):
                size += len(chunk)
                _check_size(path, size, bounds)
                digest.update(chunk)
                with _disk(folder):
                    write_all(descriptor, chunk)
            with _disk(folder):
                os.fsync(copy.fileno())
    return Artifact(name, path.name, size, Digest(digest.hexdigest()))


def _check_size(path: Path, size: int, bounds: Bounds) -> None:
    if size > bounds.artifact_bytes:
        raise PolicyDenied(
            Reason.ARTIFACT_TOO_LARGE,
            f"{path} is larger than the {bounds.artifact_bytes} bytes that would be fetched",
            "raise bounds.artifact_bytes here and at the daemon, or make the artifact smaller",
        )


@contextmanager
def _input(path: Path) -> Iterator[int]:
    """A file that CI built; a link to it will do, a pipe or a device will not."""
    try:
        descriptor = os.open(path, _INPUT)
    except OSError as error:
        raise _refused(f"{path} can't be read: {error.strerror}", "check the path") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refused(f"{path} is not a file", "pack a folder into one archive first")
        yield descriptor
    finally:
        os.close(descriptor)


def _chunk(descriptor: int, path: Path) -> bytes:
    try:
        return os.read(descriptor, CHUNK)
    except OSError as error:
        raise _refused(f"{path} can't be read: {error.strerror}", "check the disk that it is on") from None


@contextmanager
def _staging(root: Path, facts: Run, trace: Trace) -> Iterator[Path]:
    """A hidden folder, locked for as long as its publisher lives; gone afterwards unless it was renamed."""
    with _disk(root):
        trace("publish:stage")
        folder = _new_folder(root, f"{_HIDDEN}{facts.run_id}-")
        lock = os.open(folder, _FOLDER)
    try:
        with _disk(folder):
            _lock(lock, folder)
        yield folder
    finally:
        locks.free(lock)
        os.close(lock)
        if folder.exists():
            with suppress(OSError):  # what is left over goes with the next run
                trace("publish:remove")
                shutil.rmtree(folder)


def _new_folder(root: Path, prefix: str) -> Path:
    for number in itertools.count():
        with suppress(FileExistsError):
            folder = root / f"{prefix}{number}"
            folder.mkdir()
            return folder
    raise AssertionError("unreachable")


def _lock(descriptor: int, folder: Path) -> None:
    """Tells other publishers that this folder is no leftover; one may have come before the lock."""
    locks.wait(descriptor)
    if not os.path.samestat(os.fstat(descriptor), folder.stat()):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def _remove_leftovers(root: Path, trace: Trace) -> None:
    """Hidden folders whose publisher has died: their lock is free."""
    for folder in root.glob(f"{_HIDDEN}*"):
        with suppress(FileNotFoundError):
            lock = os.open(folder, _FOLDER | os.O_NOFOLLOW)
            try:
                with locks.taken(lock) as ours:
                    if ours:
                        trace("publish:remove")
                        shutil.rmtree(folder)
            finally:
                os.close(lock)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _NEW, 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk(path: Path) -> AbstractContextManager[None]:
    hint = "check that the folder of runs is mounted and writable, and that its disk is sound"
    return faults(path, Reason.SOURCE_UNAVAILABLE, hint)


def _refused(message: str, hint: str) -> Terminal:
    return Terminal(Reason.INVALID_RUN, message, hint)


def _taken(run: Run, how: str, hint: str) -> ReconcilerError:
    return PolicyDenied(Reason.RUN_EXISTS, f"run {run.run_id} is already there, {how}", hint)
