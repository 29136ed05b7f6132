"""The tracked branch as a port: what its tip is, and what stands at a commit.

A poll that finds nothing new is one `ls-remote` and nothing else, and of a repository on this machine the
reading of one file; all reading is by object name from the local mirror. A read that fails there makes the
mirror anew, once, and is tried again: nobody has to mend a cache by hand. Which commits count, and what a
change means, is judged elsewhere.

Git does not wait for the disk here (`core.fsync=none`). A power cut may tear packs, indexes and references of
the mirror that were fetched in the half minute before, in any combination. Nothing torn is believed: blobs,
commits and the trees on the way are hashed when they are read, git finds the end of a stream that is cut short
or zeroed by its checksum, and whatever fails has the mirror made anew. What that costs is the remote: while it
can't be reached after the power cut, a torn mirror answers nothing, and no drift is mended until it is back.
The last tip that was seen, which decides whether the branch was rewritten, is the store's and not the mirror's.

What `changes` leaves to the judge: when a branch was merged with its sides swapped, the file may differ
between `after` and the first change listed. The first change's `before` must be compared with what was
accepted, and the last one's `after` with what stands at the tip; `changes` alone proves no continuity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import TypeVar

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.git import objects, remote
from reconciler.git.ancestry import Ancestry
from reconciler.git.beyond import Beyond
from reconciler.git.command import Git, GitFailed
from reconciler.git.contents import COMMITS_KEPT, Contents
from reconciler.git.history import PATH_BYTES, History
from reconciler.git.local import LocalMirror
from reconciler.git.nodes import Nodes
from reconciler.git.reader import Readers
from reconciler.git.trees import Trees
from reconciler.model import BlobId, Change, Commit, CommitId, TreeEntry
from reconciler.ports import Trace

_T = TypeVar("_T")


class Mirror:
    """Implements `ports.Repository`. Nothing happens before the first call; safe to use from several threads.

    Args:
        url: The operator's `repository.url`; may hold credentials for http, which go no further.
        branch: The tracked branch, without `refs/heads/`.
        folder: The declarations' folder in the repository.
        directory: Where mirrors are kept, below the state directory.
        bounds: Deadlines and limits.
        trace: Called with `git <command>` right before each process, and with `git:tip` before a look at a file.

    Raises:
        Terminal: `InvalidSettings`, for a url, branch or folder that may not be used.
    """

    def __init__(self, url: str, branch: str, folder: str, directory: Path, bounds: Bounds, trace: Trace) -> None:
        self._remote = remote.parse(url)
        self._branch = remote.check_branch(branch)
        self._folder = remote.check_folder(folder)
        self._bounds = bounds
        self._trace = trace
        self._git = Git(self._remote, bounds, trace, durable=False)
        self._local = LocalMirror(directory, self._remote, branch, self._git, bounds)
        self._nowhere = directory / "none"  # so that `ls-remote` reads no repository's configuration
        readers = Readers(self._git, self._local, bounds)
        nodes = Nodes(readers)
        self._ancestry = Ancestry(self._git, nodes)
        self._present: CommitId | None = None
        self._contents = Contents(readers)
        self._history = History(self._git, self._local, self._folder, nodes, Trees(readers), bounds)
        self._beyond = Beyond(
            self._remote, branch, self._local, self._git, self._ancestry, self._nowhere, self._replace, bounds, trace
        )

    def head(self) -> CommitId | None:
        """The branch's tip at the remote, for one `ls-remote` or less. None: there is no such branch.

        Where the remote is a repository on this machine, its file of the branch says so, as it would to git. Whoever
        can write that file can move the branch as well; whether a tip may be followed is judged elsewhere, as ever.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        if self._remote.path is not None:
            self._trace("git:tip")
            if (tip := remote.loose_tip(self._remote, self._branch)) is not None:
                return tip
        arguments = (*self._remote.options, "--", self._remote.address, f"refs/heads/{self._branch}")
        # --heads has the server leave out what is no branch: GitHub has a reference for each pull request ever made.
        listing = self._git.network(self._nowhere, "ls-remote", "--quiet", "--heads", *arguments, limit=1024**2)
        tips = remote.tip_of(listing, self._branch)
        if len(tips) > 1:
            raise self._unavailable(f"the server names {len(tips)} tips of the branch {self._branch}")
        return tips[0] if tips else None

    def fetch(self, tip: CommitId) -> None:
        """Make `tip` and all that it descends from readable below. No network when it already is.

        Raises:
            Transient: `RepositoryUnavailable`; also when the branch was rewritten since `tip` was read.
        """
        if tip == self._present and self._local.exists():
            return
        if not remote.is_commit(tip):
            raise self._unavailable(f"{tip!r} is not the name of a commit")
        with self._local.exclusive():
            if not self._holds(tip):
                self._update(tip)
                if not self._holds(tip):
                    raise self._unavailable(f"the branch {self._branch} moved away from {tip} while it was fetched")
            self._present = tip

    def tree(self, commit: CommitId) -> Mapping[str, TreeEntry]:
        """Every path under the declarations' folder, relative to it, with its mode.

        When the folder is a symlink, a file or a submodule, that is the only entry, under the empty path.

        Raises:
            Transient: `RepositoryUnavailable`; also for more than twice `bounds.environments` files.
        """
        limit = 2 * self._bounds.environments
        where = ("--", self._folder) if self._folder else ("--",)

        def read() -> dict[str, TreeEntry]:
            arguments = ("ls-tree", "-r", "-z", "--full-tree", commit, *where)
            return dict(objects.tree_entries(self._ask(*arguments, limit=limit * PATH_BYTES), self._folder))

        entries = self._reading(read, commit)
        if len(entries) > limit:
            raise self._unavailable(
                f"{len(entries)} files in {self._folder or 'the repository'} at {commit}, allowed are {limit}",
                "raise bounds.environments in the settings if this many are meant",
            )
        return entries

    def entry(self, commit: CommitId, path: str) -> TreeEntry | None:
        """One path, relative to the declarations' folder, at one commit; None when absent there, or a folder.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        return self._reading(lambda: self._history.entry(commit, path), commit)

    def changed_paths(self, old: CommitId, new: CommitId) -> Set[str]:
        """Paths, relative to the declarations' folder, that differ between two commits; a mode counts.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        return self._reading(lambda: self._history.changed_paths(old, new), old, new)

    def read_blobs(self, blobs: Iterable[BlobId], limit: int) -> Mapping[BlobId, bytes | None]:
        """Contents in one batch, each hashed against its name. None stands for a blob of more than `limit` bytes.

        Raises:
            Transient: `RepositoryUnavailable`; also for a name that is no blob's.
        """
        names = tuple(dict.fromkeys(blobs))
        return self._reading(lambda: self._contents.blobs(names, limit))

    def is_ancestor(self, old: CommitId, new: CommitId) -> bool:
        """Whether `new` is `old` or descends from it. False when either is unknown.

        Asked of the fetched tip, any number of questions costs one process together at most.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        if not remote.is_commit(old) or not remote.is_commit(new):
            return False
        if new == self._present or self._ancestry.covers(new):
            return self._reading(lambda: self._ancestry.of_tip(self._local.path, old, new), new)
        return self._ancestry.of_pair(self._local.path, old, new)

    def changes(self, path: str, after: CommitId | None, upto: CommitId) -> tuple[Change, ...]:
        """First-parent commits in `after..upto` that changed the file, oldest first; from the root for None.

        A merge counts by what it changed against its first parent.

        Raises:
            Transient: `RepositoryUnavailable`.
            PolicyDenied: `ApprovalMissing`, for more than `bounds.changes`.
        """
        found = self._reading(lambda: self._history.changes(path, after, upto), upto, *([after] if after else []))
        if len(found) > self._bounds.changes:
            raise PolicyDenied(
                Reason.APPROVAL_MISSING,
                f"{self._history.full(path)} was changed more than {self._bounds.changes} times since it was last "
                "accepted",
                "raise bounds.changes in the settings, so that each of them can be judged",
            )
        return tuple(found)

    def commit(self, commit: CommitId) -> Commit:
        """One commit, as stored.

        Raises:
            Transient: `RepositoryUnavailable`.
            PolicyDenied: `ApprovalMissing`, when it is larger than `bounds.commit_bytes`.
        """
        limit = self._bounds.commit_bytes
        found = self._reading(lambda: self._contents.commit(commit, limit), commit)
        if found is None:
            raise PolicyDenied(
                Reason.APPROVAL_MISSING,
                f"the commit {commit} is larger than {limit} bytes",
                "nobody writes such a message by hand: look at it; or raise bounds.commit_bytes",
            )
        return found

    def between(self, base: CommitId, head: CommitId, limit: int) -> tuple[CommitId, ...]:
        """Commits reachable from `head` and not from `base`; at most `limit` + 1 of them.

        Their contents are read along in one batch: who asks for the range asks for them next.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        names = self._reading(lambda: self._history.between(base, head, limit), base, head)
        if len(names) <= min(limit, COMMITS_KEPT):
            self._reading(lambda: self._contents.read_ahead(names), base, head)
        return names

    def merge_bases(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        """The best common ancestors of two commits; empty for unrelated ones.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        return self._reading(lambda: self._history.merge_bases(one, other), one, other)

    def retrieve(self, commit: CommitId, ref: str) -> None:
        """Make a commit readable that the branch does not hold; see `beyond.Beyond.retrieve`."""
        self._beyond.retrieve(commit, ref)

    def references(self, pattern: str) -> Mapping[str, CommitId]:
        """References at the remote, for one `ls-remote`; see `beyond.Beyond.references`."""
        return self._beyond.references(pattern)

    def proposal(self, base: CommitId, head: CommitId, clone: Path | None = None) -> CommitId:
        """What the branch at `base` would be if `head` were merged; see `beyond.Beyond.proposal`."""
        return self._beyond.proposal(base, head, clone)

    def watched(self) -> tuple[Path, ...]:
        """Local folders whose changes mean that the branch may have moved; empty for a remote one.

        Each is to be watched by itself, not with what is below it.
        """
        try:
            return remote.watched(self._remote, self._branch)
        except OSError:  # gone or unreadable: polling says so
            return ()

    def _holds(self, tip: CommitId) -> bool:
        """Whether the mirror holds a commit with all its history. No process when it is the last fetched."""
        return self._ancestry.of_fetched(self._local.path, tip, self._local.tip())

    def _update(self, tip: CommitId) -> None:
        """Fetch into the mirror that is there; into a new one when there is none, or this one won't do."""
        if self._local.exists():
            try:
                self._local.update()
            except GitFailed:  # the remote's no, or a broken mirror: a new one tells
                pass
            else:
                return
        self._replace(tip)

    def _replace(self, tip: CommitId) -> None:
        self._present = None
        self._local.replace("sha1" if len(tip) == 40 else "sha256")

    def _reading(self, read: Callable[[], _T], *needed: CommitId) -> _T:
        """Read; after a failure mend the mirror and read once more."""
        generation = self._local.generation
        for commit in needed:
            if not remote.is_commit(commit):
                raise self._unavailable(f"{commit!r} is not the name of a commit")
        try:
            return read()
        except GitFailed as failure:
            self._mend(generation, needed, failure)
        return read()

    def _mend(self, generation: int, needed: tuple[CommitId, ...], failure: GitFailed) -> None:
        """Make the mirror anew, unless somebody just did, or the failure is that a commit is none of the branch's."""
        with self._local.exclusive():
            if self._local.generation != generation:
                return
            tip = self._present or self._local.tip()
            if tip is None:
                raise self._unavailable("nothing of it was fetched yet")
            for commit in needed:
                if self._is_foreign(commit, tip):
                    what = f"{commit} is not in the history of {self._branch}, nor retrieved"
                    raise self._unavailable(what) from failure
            self._replace(tip)

    def _is_foreign(self, commit: CommitId, tip: CommitId) -> bool:
        """Whether the mirror knows its history well enough to say that a commit is not in it."""
        try:
            return not self._ancestry.of_tip(self._local.path, commit, tip)
        except GitFailed:
            return False

    def _ask(self, *arguments: str, limit: int) -> bytes:
        return self._git.local(self._local.path, *arguments, limit=limit)

    def _unavailable(self, what: str, hint: str = "the next poll looks again") -> Transient:
        return self._remote.unavailable(what, hint)
