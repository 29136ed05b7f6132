"""Proposes to declare what runs, after automatic rollbacks: a branch, and a pull request where the forge has some.

Level-based like a pass: whether one is due follows from where an environment stands, and whether it was proposed from
what lies at the remote and at the forge. So a crash, a restart or the loss of the store makes nobody propose twice;
what this process remembers only spares questions. In this order, each step of which may be the last of a process:

1. the forge knows a request for the branch, open or not: done for ever, whatever people made of it;
2. the branch is there with just our commit: the request is opened; with anything else: it is somebody's, and stays so;
3. the branch is not there: it is pushed onto the tip of the tracked branch, unless that moved just now.

The tracked branch is never pushed to, and a branch that is there is never moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from reconciler.chores.turns import Line, Mark, newest, news
from reconciler.core.folder import is_regular
from reconciler.core.reverts import Revert, due
from reconciler.core.yamltree import MAX_BYTES
from reconciler.errors import DID_NOT_RUN
from reconciler.git.branches import Branches, Edit
from reconciler.model import CommitId, EnvironmentName, OperatorHand, Proposal, Status
from reconciler.ports import Clock, Forge, Repository, Store

AT_ONCE = 20
"""Environments looked at in one call: an outage that fails hundreds opens requests in the course of minutes."""
_RECENT = 5
"""Attempts of one environment that tell whether something failed there just now."""
_TOLD = 50
"""Attempts of one environment in which the one that failed is searched."""

Say = Callable[[EnvironmentName, str], None]
"""Told once a process what came of one environment, in a sentence for people."""


class Reverts:
    """Proposes. For one thread.

    Args:
        store: The memory.
        repository: The tracked branch.
        forge: Where requests are opened, if it has some.
        branches: Pushes.
        tracked: The tracked branch's name.
        clock: Dates commits.
        say: Is told.
    """

    def __init__(
        self,
        store: Store,
        repository: Repository,
        forge: Forge,
        branches: Branches,
        tracked: str,
        clock: Clock,
        say: Say,
    ) -> None:
        self._store = store
        self._repository = repository
        self._forge = forge
        self._branches = branches
        self._tracked = tracked
        self._clock = clock
        self._say = say
        self._due = Line()
        """Environments that may want one."""
        self._seen: Mark | None = None
        """How far `_due` covers what the store remembers; None before the first look."""
        self._busy: frozenset[EnvironmentName] = frozenset()
        """Environments with an attempt under way at the last look."""
        self._done: dict[EnvironmentName, str] = {}
        """The branch that was last found to need nothing more."""

    def tell(self) -> None:
        """Propose whatever is due and not proposed yet.

        When nothing happened this asks the store for two rows, and neither forge nor remote for anything.

        Raises:
            ReconcilerError: `ForgeUnavailable` or `RepositoryUnavailable`, after the other environments had their turn;
                `StoreUnavailable`, at once. What could not be proposed is proposed by a later call.
        """
        self._notice()
        waiting = self._waiting()
        if not waiting:
            return
        statuses = self._store.statuses()
        self._due.take_turns(waiting[:AT_ONCE], lambda name: self._look_at(name, statuses.get(name)))

    # --- what is new ------------------------------------------------------------------------------

    def _notice(self) -> None:
        """Put every environment in line in which something failed that was not looked at yet."""
        until = newest(self._store)
        if until == self._seen and not self._busy:
            return
        busy = frozenset(attempt.environment for attempt in self._store.unfinished())
        ended = [environment for environment in self._busy - busy if self._failed_lately(environment)]
        fresh = news(self._store, self._seen, until) if until != self._seen else ()
        failed = self._all() if fresh is None else [one.environment for one in fresh if one.reason in DID_NOT_RUN]
        self._due.join([*ended, *failed])
        self._seen, self._busy = until, busy

    def _all(self) -> tuple[EnvironmentName, ...]:
        return tuple(name for name, status in self._store.statuses().items() if status.reason in DID_NOT_RUN)

    def _failed_lately(self, environment: EnvironmentName) -> bool:
        return any(attempt.reason in DID_NOT_RUN for attempt in self._store.attempts(environment, _RECENT))

    def _waiting(self) -> tuple[EnvironmentName, ...]:
        """Those in line, without what is on its way, or in an operator's hand: that stays in line."""
        hands = self._store.hands() if self._due else {}
        quiet = OperatorHand()
        return tuple(name for name in self._due if name not in self._busy and not hands.get(name, quiet).suspended)

    # --- one environment --------------------------------------------------------------------------

    def _look_at(self, environment: EnvironmentName, status: Status | None) -> bool:
        """Propose for one environment, if that is due; returns whether nothing more can be due without a trace."""
        attempts = self._store.attempts(environment, _TOLD)
        revert = due(status, self._store.accepted(environment), attempts) if status else None
        if revert is None or self._done.get(environment) == revert.branch:
            return True
        tip = self._store.tip()
        if tip is None or not self._is_declared(revert, tip):
            return False  # something else is by now: the next pass tells what comes of that
        edit = self._edit(revert, tip)
        settled = edit is None or self._propose(revert, edit, tip)
        if settled:
            self._done[environment] = revert.branch
        return settled

    def _is_declared(self, revert: Revert, tip: CommitId) -> bool:
        """Whether the tip declares what failed, to the byte."""
        stands = self._repository.entry(tip, revert.path)
        return stands is not None and stands == self._repository.entry(revert.failed.commit, revert.path)

    def _edit(self, revert: Revert, tip: CommitId) -> Edit | None:
        """The file as it was let in; None, and told: nobody can tell any more."""
        found = self._as_let_in(revert, tip)
        if isinstance(found, Edit):
            return found
        what = f"cannot propose to declare run {revert.good.run_id} again in {revert.file}: {found}"
        self._say(revert.environment, f"{what}; declare what should run by hand")
        return None

    def _as_let_in(self, revert: Revert, tip: CommitId) -> Edit | str:
        """The file as it was let in, or why nobody can tell."""
        good, where = revert.good, f"commit {revert.good.commit[:12]}"
        if not self._repository.is_ancestor(good.commit, tip):
            return f"{where} is not in the history of {self._tracked} any more"
        entry = self._repository.entry(good.commit, revert.path)
        if entry is None or not is_regular(entry):
            return f"{where} has no such file"
        data = self._repository.read_blobs([entry.blob], MAX_BYTES)[entry.blob]
        if data is None or hashlib.sha256(data).hexdigest() != good.declaration:
            return f"{where} holds other bytes than those that were let in"
        return Edit(revert.file, data, entry.mode)

    def _propose(self, revert: Revert, edit: Edit, tip: CommitId) -> bool:
        """Branch and request, whatever there is of them; returns False when the tip moved on just now."""
        branch = revert.branch
        if self._forge.proposed(branch):
            return True
        reference = f"refs/heads/{branch}"
        there = self._repository.references(reference).get(reference)
        if there is None:
            if self._repository.head() != tip:
                return False
            self._branches.push(branch, tip, edit, revert.message, self._clock.now())
        elif not self._is_ours(there, reference, tip, edit):
            self._say(
                revert.environment,
                f"the branch {branch} holds something else than this daemon would push, so it is left alone, and "
                f"nobody is asked to declare run {revert.good.run_id}, which is live, in {revert.file}",
            )
            return True
        url = self._forge.propose(Proposal(branch, self._tracked, revert.title, revert.body))
        self._say(revert.environment, _told(revert, url))
        return True

    def _is_ours(self, commit: CommitId, reference: str, tip: CommitId, edit: Edit) -> bool:
        """Whether a branch is what we would push now, or would have before the tip moved on."""
        self._repository.retrieve(commit, reference)
        parents = self._repository.commit(commit).parents
        if len(parents) != 1 or not self._repository.is_ancestor(parents[0], tip):
            return False
        return self._branches.carries(commit, parents[0], edit)


def _told(revert: Revert, url: str | None) -> str:
    failed, good = revert.failed, revert.good
    what = f"run {failed.run_id} failed ({failed.reason}) and run {good.run_id} is live; Git still declares the former"
    if url is None:
        return f"{what}: merging the branch {revert.branch} declares what runs"
    return f"{what}: merging {url} (branch {revert.branch}) declares what runs"
