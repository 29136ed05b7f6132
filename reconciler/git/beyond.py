"""What the tracked branch does not hold: other references of the remote, commits behind them, proposed merges.

All of it comes into the mirror without a reference of ours that would keep it: `LocalMirror` lets it go after
`local.KEPT`, and a mirror that is made anew does not have it. So who reads such a commit retrieves it before, each
time anew; that costs no network while it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.errors import Transient
from reconciler.git import proposing
from reconciler.git.ancestry import Ancestry
from reconciler.git.command import Git, GitFailed
from reconciler.git.local import LocalMirror
from reconciler.git.remote import Remote, is_commit, is_reference
from reconciler.model import CommitId
from reconciler.ports import Trace

REFERENCES = 200_000
"""Most references of one listing: two for each of a hundred thousand pull requests."""
REFERENCE_BYTES = 256
"""Bytes that one line of a listing may take on average."""

_ABSENT = "couldn't find remote ref"
"""Git's words for a reference that the remote does not have."""


class Beyond:
    """Safe to use from several threads, as `Mirror` is.

    Args:
        remote: Where everything comes from.
        branch: The tracked branch, for messages.
        local: The mirror.
        git: Runs git for the remote.
        ancestry: Who descends from whom.
        nowhere: A folder that is no repository, so that `ls-remote` reads no configuration.
        replace: Makes the mirror anew; the commit tells the object format.
        bounds: Deadlines of a fetch out of a clone.
        trace: Called with `git <command>` right before each process of such a fetch.
    """

    def __init__(
        self,
        remote: Remote,
        branch: str,
        local: LocalMirror,
        git: Git,
        ancestry: Ancestry,
        nowhere: Path,
        replace: Callable[[CommitId], None],
        bounds: Bounds,
        trace: Trace,
    ) -> None:
        self._remote = remote
        self._branch = branch
        self._local = local
        self._git = git
        self._ancestry = ancestry
        self._nowhere = nowhere
        self._replace = replace
        self._bounds = bounds
        self._trace = trace
        self._believed: int | None = None

    def retrieve(self, commit: CommitId, ref: str) -> None:
        """Make a commit readable with all its history. No network when it is already.

        Args:
            commit: Its full name.
            ref: The whole name of a reference at the remote that has it in its history; it may have moved on since.

        Raises:
            Transient: `RepositoryUnavailable`; also when the reference is gone, or does not hold the commit.
        """
        self._check(commit)
        if not is_reference(ref):
            raise self._remote.unavailable(f"{ref[:200]!r} is not the whole name of a reference")
        if self._holds(commit):
            return
        with self._local.exclusive():
            if self._holds(commit):  # somebody else was faster
                return
            try:
                self._bring(commit, ref)
            except GitFailed:
                if self._local.exists() and self._local.generation == self._believed:
                    raise
                self._anew(commit, ref)

    def references(self, pattern: str) -> Mapping[str, CommitId]:
        """References at the remote, by whole name, for one `ls-remote`.

        Git matches the ends of names, and lets `*` stand for a slash; here the whole name counts, and it does not.
        What no reference can be named, the remote's word on what a tag stands for included, is left out.

        Args:
            pattern: A whole name in which `*` stands for anything but a slash: `refs/pull/*/head`.

        Raises:
            Transient: `RepositoryUnavailable`; also for more than `REFERENCES`.
        """
        if not is_reference(pattern.replace("*", "x")):
            raise self._remote.unavailable(f"{pattern[:200]!r} is not a pattern of whole names of references")
        arguments = ("--quiet", "--refs", *self._remote.options, "--", self._remote.address, pattern)
        listing = self._git.network(self._nowhere, "ls-remote", *arguments, limit=REFERENCES * REFERENCE_BYTES)
        if listing.count(b"\n") > REFERENCES:
            raise self._remote.unavailable(
                f"more than {REFERENCES} references match {pattern}",
                "remove references that nobody needs any more from the repository",
            )
        wanted = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
        found: dict[str, CommitId] = {}
        for line in listing.decode("utf-8", "surrogateescape").split("\n"):
            commit, _, name = line.partition("\t")
            if not (is_commit(commit) and wanted.fullmatch(name) and is_reference(name)):
                continue
            if found.setdefault(name, CommitId(commit)) != commit:
                raise self._remote.unavailable(f"the server names two tips of {name}")
        return found

    def proposal(self, base: CommitId, head: CommitId, clone: Path | None) -> CommitId:
        """What the branch at `base` would be if `head` were merged.

        Always the same for the same two; `base` itself when it contains `head` already. The tip is not touched.

        Args:
            base: A commit of the branch.
            head: Of a local clone when one is named, else retrieved before, or of the branch.
            clone: The clone's git directory.

        Raises:
            PolicyDenied: `ApprovalStale`: the two do not merge without a conflict.
            Transient: `RepositoryUnavailable`: one of them is nowhere; nothing was fetched before.
        """
        with self._local.exclusive():
            if not self._local.exists():
                raise self._remote.unavailable("nothing of it was fetched yet")
            for commit in (base, head):
                self._check(commit)
                self._need(commit, clone)
            if self._ancestry.of_pair(self._local.path, head, base):
                return base
            return proposing.merged(self._git, self._local.path, base, head)

    def _need(self, commit: CommitId, clone: Path | None) -> None:
        """Have a commit in the mirror, out of the clone when that is the way.

        Raises:
            Transient: `RepositoryUnavailable`: it is nowhere.
        """
        if clone is None:
            if not self._holds(commit):
                raise self._remote.unavailable(f"{commit} is not in the history of {self._branch}, nor retrieved")
        elif not self._ancestry.of_fetched(self._local.path, commit, self._local.tip()):
            there = Remote(str(clone.absolute()), "file", clone.absolute())
            courier = Git(there, self._bounds, self._trace, durable=False)
            proposing.bring(self._local, courier, clone.absolute(), commit)

    def _holds(self, commit: CommitId) -> bool:
        """Whether a commit is readable with all its history: of the branch, or retrieved before and not yet let go.

        Git asks itself the same before it fetches: down to every file, for an older one may have been let go.
        """
        if self._ancestry.of_fetched(self._local.path, commit, self._local.tip()):
            return True
        wanted = ("rev-list", "--objects", "--quiet", f"{commit}^{{commit}}", "--not", "--all", "--")
        code, _, _ = self._git.ask(self._local.path, *wanted)
        return code == 0

    def _bring(self, commit: CommitId, ref: str) -> None:
        """Fetch the reference into the mirror as it stands. What it holds is whole then: git sees to that.

        Raises:
            GitFailed: Something stands in the way, at the remote or in the mirror.
            Transient: `RepositoryUnavailable`: the reference is gone, or holds another history; or the deadline.
        """
        try:
            tip = self._local.get(ref)
        except GitFailed as failure:
            if _ABSENT in failure.message:
                raise self._gone(ref) from failure
            raise
        if tip is None:
            raise self._gone(ref)
        if not self._ancestry.of_pair(self._local.path, commit, tip):
            raise self._remote.unavailable(
                f"{ref} is at {tip} now, which does not have {commit} in its history",
                "was the branch behind it rewritten? The next poll sees where it is then",
            )

    def _anew(self, commit: CommitId, ref: str) -> None:
        """Once more, into a new mirror. That one is believed: what fails there is the remote's fault.

        Else a reference that can't be fetched, which anybody may be able to make, would cost a whole clone each time.
        """
        self._replace(commit)
        self._believed = self._local.generation
        self._bring(commit, ref)

    def _check(self, commit: CommitId) -> None:
        if not is_commit(commit):
            raise self._remote.unavailable(f"{commit!r} is not the name of a commit")

    def _gone(self, ref: str) -> Transient:
        return self._remote.unavailable(
            f"there is no {ref}, or not all of its history",
            "was it removed, or is the repository behind repository.url a shallow one?",
        )
