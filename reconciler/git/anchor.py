"""Checkpoints of the audit chain, kept in a repository under a reference of their own: what the store can't take back.

Each is a commit that holds one file, and its parent is the one before, so the reference only ever moves forward. A
push is never forced: a server that refuses it knows something that we don't, and that is told. What lies there
is fetched into a folder that is made for it and thrown away; there is little of it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.core.audit import Checkpoint, Malformed, checkpoint_line, parse_checkpoint
from reconciler.errors import IntegrityError, Reason, Terminal, Transient
from reconciler.git import objects, remote
from reconciler.git.command import Git, GitFailed
from reconciler.model import CommitId
from reconciler.ports import Trace

FILE = "checkpoint.json"
ANCHORS = 100_000
"""Most anchors that are read: one an hour for eleven years."""

_TIP = "refs/reconciler/anchor"
_BYTES = 64 * 1024
"""What one anchor and git's words on it may take."""

Holds = Callable[[Checkpoint], bool]
"""Whether our chain holds the entry that a checkpoint speaks of, with that hash."""


class Anchor:
    """One reference of one repository. Nothing happens before the first call.

    Args:
        url: The repository, as `repository.url`; may hold credentials for http, which go no further.
        ref: The whole name of the reference, such as `refs/reconciler/audit`.
        directory: For a short-lived folder in it.
        bounds: Deadlines.
        trace: Called with `git <command>` right before each process.

    Raises:
        Terminal: `InvalidSettings`, for a url or reference that may not be used.
    """

    def __init__(self, url: str, ref: str, directory: Path, bounds: Bounds, trace: Trace) -> None:
        self._remote = remote.parse(url)
        self._ref = _checked(ref)
        self._directory = directory
        self._git = Git(self._remote, bounds, trace)

    def read(self) -> tuple[Checkpoint, ...]:
        """Every checkpoint that was ever anchored, newest first; their signatures are not checked here.

        Raises:
            Transient: `RepositoryUnavailable`.
            IntegrityError: `AuditMismatch`: what lies there is no chain of anchors.
        """
        with self._folder() as folder:
            tip = self._fetch(folder)
            if tip is None:
                return ()
            walk = ("rev-list", f"--max-count={ANCHORS}", tip, "--")
            commits = self._git.local(folder, *walk, limit=ANCHORS * 80).decode("ascii", "replace").split()
            return self._checkpoints(folder, commits)

    def push(self, checkpoint: Checkpoint, holds: Holds) -> bool:
        """Anchor a checkpoint, unless what is anchored already reaches as far. Returns whether it was pushed.

        Args:
            checkpoint: What to anchor.
            holds: Asked for the newest anchor: one that our chain does not hold stops everything.

        Raises:
            Transient: `RepositoryUnavailable`; also when the server refuses the push.
            IntegrityError: `AuditMismatch`: the anchor knows another chain than ours.
        """
        with self._folder() as folder:
            tip = self._fetch(folder, "--depth=1")
            if tip is not None:
                (newest,) = self._checkpoints(folder, [tip])
                if not holds(newest):
                    raise self._another_chain(newest)
                if newest.entries >= checkpoint.entries:
                    return False
            commit = self._commit(folder, checkpoint, tip)
            arguments = ("--quiet", "--no-follow-tags", "--", self._remote.address, f"{commit}:{self._ref}")
            self._git.network(folder, "push", *arguments, limit=_BYTES)
            return True

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for one bare repository, for as long as the block lasts."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(dir=self._directory, prefix=".anchor-")
        except OSError as error:
            what = f"{self._directory}: {error.strerror}"
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, what, "is there room, and may it be written?") from None
        with folder as name:
            yield Path(name)

    def _fetch(self, folder: Path, *options: str) -> CommitId | None:
        """Make the repository, with what is anchored; returns the newest commit, None when there is none."""
        arguments = ("--quiet", *self._remote.options, "--", self._remote.address, "HEAD", self._ref)
        listing = self._git.network(folder / "none", "ls-remote", *arguments, limit=_BYTES).decode("ascii", "replace")
        names = {reference: name for name, _, reference in (line.partition("\t") for line in listing.splitlines())}
        if not all(map(remote.is_commit, names.values())):
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, f"{self._remote.address}: not an answer of git's")
        kind = "sha256" if any(len(name) == 64 for name in names.values()) else "sha1"
        init = ("--quiet", "--bare", "--template=", "--initial-branch=none", f"--object-format={kind}")
        self._git.local(folder, "init", *init, "--", str(folder))
        tip = names.get(self._ref)
        if tip is None:
            return None
        fetch = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=", *options)
        where = (*self._remote.options, "--", self._remote.address, f"+{self._ref}:{_TIP}")
        self._git.network(folder, "fetch", *fetch, *where, limit=_BYTES)
        return CommitId(self._git.local(folder, "rev-parse", "--verify", _TIP).decode("ascii").strip())

    def _checkpoints(self, folder: Path, commits: Sequence[str]) -> tuple[Checkpoint, ...]:
        """What each of these commits holds, all in one batch."""
        found: list[Checkpoint] = []

        def take(_: str, content: bytes | None) -> None:
            found.append(parse_checkpoint(content or b""))

        batch = objects.Batch("blob", _BYTES, take)
        wanted = "".join(f"{commit}:{FILE}\n" for commit in commits).encode()
        try:
            self._git.local(folder, "cat-file", "--batch", stdin=wanted, sink=batch.feed)
        except (Malformed, GitFailed) as error:
            where = f"{self._remote.address}: {self._ref}: commit {commits[len(found)][:12]}"
            hint = "who pushed it? Look into it; another reference can be set up as audit.anchor"
            raise IntegrityError(Reason.AUDIT_MISMATCH, f"{where} holds no anchor: {error}", hint) from None
        return tuple(found)

    def _commit(self, folder: Path, checkpoint: Checkpoint, parent: CommitId | None) -> str:
        """A commit made of nothing but the checkpoint and the one before, so that no setting takes part."""
        blob = self._object(folder, "blob", checkpoint_line(checkpoint))
        tree = self._git.local(folder, "mktree", stdin=f"100644 blob {blob}\t{FILE}\n".encode()).decode().strip()
        who = f"reconciler <> {int(checkpoint.at.timestamp())} +0000"
        lines = (f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}")
        subject = f"Audit: {checkpoint.entries} entries up to {checkpoint.head[:12]}"
        return self._object(folder, "commit", "\n".join((*lines, "", subject, "")).encode())

    def _object(self, folder: Path, kind: str, content: bytes) -> str:
        return self._git.local(folder, "hash-object", "-t", kind, "-w", "--stdin", stdin=content).decode().strip()

    def _another_chain(self, newest: Checkpoint) -> IntegrityError:
        return IntegrityError(
            Reason.AUDIT_MISMATCH,
            f"the audit log is not the one that was anchored: {self._ref} knows {newest.entries} entries up to "
            f"{newest.head[:12]} ({newest.at:%Y-%m-%d %H:%M:%S} UTC), and the store does not hold that entry",
            "the store was lost, rolled back or altered. Look into it; to go on, keep that reference under another "
            "name, or set another one as audit.anchor",
        )


def _checked(ref: str) -> str:
    if not ref.startswith("refs/") or ref.count("/") < 2:
        what = f"audit.anchor: {ref!r} is not the whole name of a reference"
        raise Terminal(Reason.INVALID_SETTINGS, what, "write one such as refs/reconciler/audit")
    try:
        return remote.check_branch(ref)
    except Terminal:
        what = f"audit.anchor: {ref!r} is not a name that git takes"
        raise Terminal(Reason.INVALID_SETTINGS, what, "write one such as refs/reconciler/audit") from None
