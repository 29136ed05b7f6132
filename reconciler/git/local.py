"""The mirror on disk: a bare repository that may be thrown away at any time.

It holds nothing that the remote does not hold, so every doubt about it ends the same way: make a new one
beside it, and put that in its place. Order matters in three spots: leftovers of an interrupted process
go before a fetch, or its locks would stop us for ever; a new mirror is complete before the old one is
moved away, or a remote that fails meanwhile would cost us what we have; one process at a time does either.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.git.command import Git, GitFailed
from reconciler.git.remote import Remote, is_commit
from reconciler.machine import locks
from reconciler.machine.clock import SystemClock
from reconciler.model import CommitId

TIP = "refs/reconciler/tip"
"""Our own reference: whatever branches and tags the remote has, none can be named like it."""
PACKS = 50
"""Packs, one for each fetch, before they are put into one: more make every read slower."""
KEPT = "1.day.ago"
"""Since when an object that nothing refers to (of a proposal, or of a rewritten branch) is kept at least."""

_WAIT_SECONDS = 0.02
_KINDS = {"refs/heads/": "branch", "refs/tags/": "tag", "refs/remotes/": "remote-tracking branch"}


class LocalMirror:
    """One bare repository below the state directory.

    Args:
        directory: Where mirrors are kept; each remote and branch has a folder of its own there.
        remote: Where it is fetched from.
        branch: What is fetched.
        git: Runs git.
        bounds: `git_seconds` also bounds the wait for another process that is fetching.
    """

    def __init__(self, directory: Path, remote: Remote, branch: str, git: Git, bounds: Bounds) -> None:
        name = hashlib.sha256(f"{remote.address}\0{branch}".encode()).hexdigest()[:16]
        self._home = directory / name
        self._remote = remote
        self._branch = branch
        self._git = git
        self._seconds = 2 * bounds.git_seconds
        self._clock = SystemClock()
        self._threads = threading.Lock()
        self.path = self._home / "mirror.git"
        self.generation = 0
        """How many times it was made anew: a read that failed in an earlier one is worth another try."""

    def tip(self) -> CommitId | None:
        """The last fetched tip. Git moves it only once the tip's whole history is there."""
        try:
            text = (self.path / TIP).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return CommitId(text) if is_commit(text) else None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nobody else fetches meanwhile, in this process or another.

        Raises:
            Transient: `RepositoryUnavailable`, when the lock can't be had in time or the disk refuses.
        """
        expires = self._clock.monotonic() + self._seconds
        if not self._threads.acquire(timeout=self._seconds):
            raise _busy(self._home)
        try:
            with _disk(self._home):
                self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not self._locked(lock):
                    if self._clock.monotonic() > expires:
                        raise _busy(self._home)
                    threading.Event().wait(_WAIT_SECONDS)
                yield
            finally:
                locks.free(lock)
                os.close(lock)
        finally:
            self._threads.release()

    def update(self) -> None:
        """Fetch the branch into the mirror as it stands. Only when `exclusive`.

        Raises:
            GitFailed: The remote said no, or the mirror is broken; `replace` tells which.
            Transient: `RepositoryUnavailable`, after the deadline.
        """
        with _disk(self._home):
            _sweep(self.path)
        self._fetch(self.path)
        if self.tip() is None:
            raise GitFailed("the local mirror: its reference is broken")
        self._tidy()

    def take(self, clone: Path, git: Git, commit: CommitId) -> None:
        """Fetch a commit with all its history out of a local clone; no reference moves. Only when `exclusive`.

        Git asks for it by name, which a clone grants since protocol version 2. It takes no configuration that
        runs a command from the clone, and gets no way on from there: a clone that lacks objects may not fetch them.

        Args:
            clone: The clone's git directory.
            git: Runs git with the clone as its only remote.
            commit: Its full name.

        Raises:
            GitFailed: The clone does not hold it, or is none.
            Transient: `RepositoryUnavailable`, after the deadline.
        """
        with _disk(self._home):
            _sweep(self.path)
        git.network(
            self.path,
            "fetch",
            *("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap="),
            "--upload-pack=GIT_ALLOW_PROTOCOL=none GIT_NO_LAZY_FETCH=1 git -c safe.directory=* upload-pack",
            "--",
            str(clone),
            commit,
            limit=64 * 1024,
        )
        self._tidy()

    def get(self, reference: str) -> CommitId | None:
        """Fetch one reference of the remote with all its history; none of ours moves. Only when `exclusive`.

        Git takes a name that the remote lacks for the end of a longer one, such as of a branch `refs/pull/1/head`.
        What it found instead stands in FETCH_HEAD (git-fetch), and is not what was asked for.

        Args:
            reference: Its whole name, checked.

        Returns:
            What the reference names; None when the remote gave another one, or not its whole history.

        Raises:
            GitFailed: The remote said no, or the mirror is broken.
            Transient: `RepositoryUnavailable`, after the deadline.
        """
        with _disk(self._home):
            _sweep(self.path)
        self._git.network(
            self.path,
            "fetch",
            *("--quiet", "--no-tags", "--no-recurse-submodules", "--refmap="),
            *self._remote.options,
            "--",
            self._remote.address,
            reference,
            limit=64 * 1024,
        )
        with _disk(self._home):
            found = (self.path / "FETCH_HEAD").read_bytes()
        self._tidy()
        return _fetched(found, reference)

    def replace(self, object_format: str) -> None:
        """Make a new mirror and put it in the place of this one. Only when `exclusive`.

        Args:
            object_format: `sha1` or `sha256`, as the remote has it.

        Raises:
            Transient: `RepositoryUnavailable`; what was there is still there.
        """
        fresh, old = self._home / "new", self._home / "old"
        with _disk(self._home):
            _remove(fresh)
            _remove(old)
        options = ("--quiet", "--bare", "--template=", "--initial-branch=none", f"--object-format={object_format}")
        self._git.local(fresh, "init", *options, "--", str(fresh))
        self._fetch(fresh)
        with _disk(self._home):
            if self.path.is_symlink() or self.path.exists():
                self.path.rename(old)
            fresh.rename(self.path)  # a crash right before this leaves no mirror: the next fetch makes one
            self.generation += 1
            _remove(old)

    def exists(self) -> bool:
        """Whether there is a mirror to try at all."""
        return self.path.is_dir()

    def _tidy(self) -> None:
        """Put many packs into one, and let go what nothing refers to and nobody who plans still reads."""
        if len(list((self.path / "objects" / "pack").glob("*.pack"))) > PACKS:
            self._git.local(self.path, "repack", "-A", "-d", "-q", f"--unpack-unreachable={KEPT}")
            self._git.local(self.path, "prune", f"--expire={KEPT}")

    def _locked(self, lock: int) -> bool:
        with _disk(self._home):
            return locks.take(lock)

    def _fetch(self, into: Path) -> None:
        self._git.network(
            into,
            "fetch",
            *("--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap="),
            *self._remote.options,
            "--",
            self._remote.address,
            f"+refs/heads/{self._branch}:{TIP}",
            limit=64 * 1024,
        )


def _fetched(listing: bytes, reference: str) -> CommitId | None:
    """The commit behind exactly this reference, in FETCH_HEAD: `<name>\t<for merge>\tbranch 'main' of <address>`."""
    for line in listing.decode("utf-8", "surrogateescape").split("\n"):
        name, _, note = line.partition("\t")
        if is_commit(name) and note.partition("\t")[2].startswith(f"{_noted(reference)} of "):
            return CommitId(name)
    return None


def _noted(reference: str) -> str:
    """How FETCH_HEAD writes a reference."""
    for prefix, kind in _KINDS.items():
        if reference.startswith(prefix):
            return f"{kind} '{reference.removeprefix(prefix)}'"
    return f"'{reference}'"


def _sweep(mirror: Path) -> None:
    """Remove what a killed process left: its locks, and packs that never became whole."""
    for folder, pattern in (
        (".", "*.lock"),
        ("refs", "**/*.lock"),
        ("objects", "**/tmp_*"),
        ("objects/pack", "*.keep"),
    ):
        for leftover in (mirror / folder).glob(pattern):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _busy(home: Path) -> Transient:
    return Transient(
        Reason.REPOSITORY_UNAVAILABLE,
        f"{home}: another fetch does not come to its end",
        "is a second reconciler process on this state directory stopped or hanging?",
    )


@contextlib.contextmanager
def _disk(home: Path) -> Iterator[None]:
    """A fault of the disk, reported as one."""
    try:
        yield
    except OSError as error:
        raise Transient(
            Reason.REPOSITORY_UNAVAILABLE,
            f"{error.filename or home}: {error.strerror}",
            "the state directory must be writable and have room",
        ) from None
