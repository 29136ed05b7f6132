"""New branches with one commit on them, made and pushed by the daemon itself: it needs the right to, and no more.

What the mirror holds is borrowed, and what is made lies in a folder of its own that goes away again: the mirror stays
what the remote is. A branch is made where none is, or not at all; nothing is ever forced, and no branch that is there
is moved, whoever's it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from reconciler.git import remote
from reconciler.git.command import Git, GitFailed
from reconciler.git.local import LocalMirror
from reconciler.model import CommitId
from reconciler.ports import Trace

IDENTITY = "reconciler <daemon@reconciler.invalid>"
"""Author and committer. Nobody has this address, so nobody is taken for the author."""

_BYTES = 64 * 1024
_MODES = frozenset({"100644", "100755"})
_TEMPORARY = ".branch-"
_TRIED = "reconciler/revert/check"
"""The branch that a check asks about; it is never made, and no environment's is called so."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One file with other content."""

    path: str
    """In the repository, not in the declarations' folder."""
    data: bytes
    mode: str
    """`100644` or `100755`."""


class Branches:
    """Makes branches at one remote. Nothing happens before the first call; for one thread.

    Args:
        url: `repository.url`; may hold credentials for http, which go no further.
        branch: The tracked branch: the one that nothing here ever writes.
        mirrors: Where the mirror of it is kept.
        directory: For a short-lived folder in it; what an earlier process left there goes.
        bounds: Deadlines.
        trace: Called with `git <command>` right before each process.

    Raises:
        Terminal: `InvalidSettings`, for a url or branch that may not be used.
    """

    def __init__(self, url: str, branch: str, mirrors: Path, directory: Path, bounds: Bounds, trace: Trace) -> None:
        self._remote = remote.parse(url)
        self._tracked = remote.check_branch(branch)
        self._git = Git(self._remote, bounds, trace)
        self._mirror = LocalMirror(mirrors, self._remote, branch, self._git, bounds)
        self._directory = directory

    def push(self, branch: str, base: CommitId, edit: Edit, message: str, at: datetime) -> CommitId:
        """Make a branch with one commit on `base`; returns that commit.

        Args:
            branch: Its name, of a branch that is not there.
            base: A commit that the mirror holds.
            edit: All that it changes.
            message: Of the commit.
            at: When it is made.

        Raises:
            Transient: `RepositoryUnavailable`: it may not be pushed, or is there by now; nothing was pushed.
        """
        with self._folder(base) as folder:
            tree = self._tree(folder, base, edit)
            commit = self._object(folder, "commit", _raw(tree, base, message, int(at.timestamp())))
            self._push(folder, commit, self._checked(branch))
            return CommitId(commit)

    def carries(self, commit: CommitId, base: CommitId, edit: Edit) -> bool:
        """Whether a commit is `base` with this edit and nothing else; the mirror holds both."""
        with self._folder(base) as folder:
            stands = self._git.local(folder, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
            return stands.decode("ascii", "replace").strip() == self._tree(folder, base, edit)

    def check(self) -> str:
        """Whether the remote lets us push branches, asked by a push that ends before anything is sent or made.

        A server over ssh or http says no to whoever has no right at all; its rules for branches it tells only later.

        Raises:
            Transient: `RepositoryUnavailable`: it does not, or is out of reach.
        """
        where = (*self._remote.options, "--", self._remote.address, f"refs/heads/{self._tracked}")
        listing = self._git.network(self._directory / "none", "ls-remote", "--quiet", *where, limit=_BYTES)
        tip = next(iter(remote.tip_of(listing, self._tracked)), None)
        if tip is None:
            raise self._remote.unavailable(f"there is no branch {self._tracked}", "correct repository.branch")
        with self._folder(tip) as folder:
            empty = self._git.local(folder, "write-tree", limit=1024).decode("ascii", "replace").strip()
            commit = self._object(folder, "commit", _raw(empty, None, "Nothing\n", 0))
            self._push(folder, commit, _TRIED, "--dry-run")
        return f"{self._remote.address} lets us push branches"

    @contextlib.contextmanager
    def _folder(self, base: CommitId) -> Iterator[Path]:
        """A bare repository that borrows what the mirror holds, for as long as the block lasts."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._directory.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(left)
            temporary = tempfile.TemporaryDirectory(dir=self._directory, prefix=_TEMPORARY)
        except OSError as error:
            what = f"{error.filename or self._directory}: {error.strerror}"
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, what, "is there room, and may it be written?") from None
        with temporary as name:
            folder, kind = Path(name), "sha1" if len(base) == 40 else "sha256"
            options = ("--quiet", "--bare", "--template=", "--initial-branch=none", f"--object-format={kind}")
            self._git.local(folder, "init", *options, "--", str(folder))
            lender = os.fsencode(self._mirror.path / "objects")
            (folder / "objects" / "info").mkdir(exist_ok=True)
            (folder / "objects" / "info" / "alternates").write_bytes(lender + b"\n")
            yield folder

    def _tree(self, folder: Path, base: CommitId, edit: Edit) -> str:
        """The tree of `base` with the edit."""
        if edit.mode not in _MODES:
            raise ValueError(f"{edit.mode} is no mode of a file")
        self._git.local(folder, "read-tree", base)
        blob = self._object(folder, "blob", edit.data)
        entry = f"{edit.mode} {blob}\t{edit.path}\0".encode()
        self._git.local(folder, "update-index", "-z", "--index-info", stdin=entry)
        return self._git.local(folder, "write-tree", limit=1024).decode("ascii", "replace").strip()

    def _push(self, folder: Path, commit: str, branch: str, *options: str) -> None:
        reference = f"refs/heads/{branch}"
        # An empty lease: the branch must not be there. Without it, git moves one that is behind us forward.
        fixed = ("--quiet", "--no-follow-tags", "--recurse-submodules=no", f"--force-with-lease={reference}:")
        where = ("--", self._remote.address, f"{commit}:{reference}")
        try:
            self._git.network(folder, "push", *fixed, *options, *where, limit=_BYTES)
        except GitFailed as failed:
            raise _told(branch, failed) from failed

    def _object(self, folder: Path, kind: str, content: bytes) -> str:
        done = self._git.local(folder, "hash-object", "-t", kind, "-w", "--stdin", stdin=content, limit=1024)
        return done.decode("ascii", "replace").strip()

    def _checked(self, branch: str) -> str:
        name = remote.check_branch(branch)
        if name == self._tracked:
            what = f"the tracked branch {name} is never pushed to"
            raise Terminal(Reason.INVALID_SETTINGS, what, "track another branch")
        return name


def _raw(tree: str, parent: CommitId | None, message: str, seconds: int) -> bytes:
    """A commit made of nothing but this, so that no setting takes part."""
    who = f"{IDENTITY} {seconds} +0000"
    parents = (f"parent {parent}",) if parent else ()
    return "\n".join((f"tree {tree}", *parents, f"author {who}", f"committer {who}", "", message)).encode()


def _told(branch: str, failed: GitFailed) -> Transient:
    """Git's no, in words."""
    said = failed.message
    if any(sign in said for sign in _THERE):
        what = f"the branch {branch} was made by somebody else just now; nothing was pushed"
        return Transient(Reason.REPOSITORY_UNAVAILABLE, what, "the next poll looks whose it is")
    if any(sign in said for sign in _NO_RIGHT):
        hint = (
            "repository.reverts needs the right to push branches: give the credentials of repository.url that right "
            "(at GitHub a deploy key with write access, or a token with contents=write), or set it to false"
        )
        what = f"the branch {branch} may not be pushed: {said}"
        return Transient(Reason.REPOSITORY_UNAVAILABLE, what, hint)
    hint = "see what the remote's rules for branches are" if "rejected]" in said else failed.hint
    return Transient(Reason.REPOSITORY_UNAVAILABLE, f"the branch {branch} could not be pushed: {said}", hint)


_THERE = ("stale info", "reference already exists", "non-fast-forward", "fetch first")
"""What git says of a branch that is there all the same."""
_NO_RIGHT = (
    *("error: 401", "error: 403", "Permission to", "Permission denied", "terminal prompts disabled", "read only"),
    *("insufficient permission", "unable to create temporary object", "Could not read from remote repository"),
)
"""What git, ssh and servers say to whoever may not write; that we may read was seen right before."""
