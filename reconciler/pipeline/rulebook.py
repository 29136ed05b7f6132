"""The rules in force: the operator's floors, the policy that people let in, and whatever the tip tightens.

The policy file is judged like a declaration: by the policy before it, change by change. Until a change is let in,
the stricter of the two counts, so that a freeze or a revocation holds at once and nothing is loosened by a push.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.catalog import Catalog
from reconciler.core.approve import Judge, State
from reconciler.core.declare import POLICY
from reconciler.core.folder import is_regular, policy_entry
from reconciler.core.policy import Policy
from reconciler.core.rules import NO_POLICY, PolicyReading, Rules
from reconciler.core.yamltree import MAX_BYTES
from reconciler.errors import ReconcilerError
from reconciler.model import AcceptedPolicy, CommitId, Digest, EnvironmentName, Gate, GateResult, TreeEntry, Verdict
from reconciler.pipeline.changes import History
from reconciler.pipeline.world import World

PATIENCE = 5.0
"""Seconds for which a policy that is not in force as a whole is not judged again: thousands ask, one look is enough."""
_NAME = EnvironmentName(POLICY.removesuffix(".yaml"))
"""Of no environment: the file's name is reserved."""
_NOWHERE = CommitId("")
"""Before the first commit."""
_KEPT = 100
"""Policies that were let in, kept to know what was asked of an older change."""


@dataclass(frozen=True, slots=True)
class _State:
    """A policy that was let in, and what it says."""

    accepted: AcceptedPolicy
    reading: PolicyReading


class Rulebook:
    """The rules for one catalog; safe from several threads."""

    def __init__(self, world: World, catalog: Catalog, *, remember: bool = True) -> None:
        """Prepare; nothing is judged yet.

        Args:
            world: The parts.
            catalog: Knows the policy at the tip.
            remember: Whether what was let in is told to the store; a plan tells nothing.
        """
        self._world = world
        self._catalog = catalog
        self._remember = remember
        self._lock = threading.Lock()
        self._states: list[_State] = []
        """Every policy that was let in, as far as this process knows, oldest first."""
        self._saved: AcceptedPolicy | None = None
        self._rules: Rules | None = None
        self._looked: CommitId | None = None
        """The tip up to which every change of the policy was judged."""
        self._until = 0.0

    def rules(self) -> Rules:
        """The rules at the catalog's tip.

        Raises:
            ReconcilerError: Nobody can tell which policy was let in: nothing may be promoted meanwhile.
        """
        with self._lock:
            return self._current()

    def floors_at(self, environment: EnvironmentName, commit: CommitId | None) -> tuple[Policy, ...]:
        """What was asked of every change on top of a commit: the policy then, as it stood and as it was let in.

        Raises:
            ReconcilerError: It can't be read.
        """
        mine: list[Policy] = [floor.spec for floor in self._world.floors if floor.covers(environment)]
        with self._lock:
            self._current()
            states = list(self._states)
        if states and commit is not None:
            before = [state for state in states if self._reaches(state.accepted.commit, commit)]
            stood = self._read(self._world.repository.entry(commit, POLICY))
            for reading in (stood, (before[-1] if before else states[0]).reading):
                if reading.document is not None:
                    mine += [floor.spec for floor in reading.document.approval if floor.covers(environment)]
        return tuple(dict.fromkeys(mine))

    def _current(self) -> Rules:
        now, tip = self._world.clock.monotonic(), self._tip()
        rules = self._rules
        if rules is None or tip != self._looked or (rules.pending and now >= self._until):
            self._rules = rules = self._judged(tip)
            self._until = now + PATIENCE
            self._save()
        return rules

    def _judged(self, tip: CommitId) -> Rules:
        pending: GateResult | None = None
        try:
            pending = self._take(tip)
            self._looked = tip
        except ReconcilerError as error:
            if not self._states:
                raise
            pending = GateResult(Gate.APPROVAL, Verdict.HELD, error.reason, error.message, (), error.hint)
        let_in = self._states[-1].reading if self._states else NO_POLICY
        documents = dict.fromkeys(d for d in (let_in.document, self._catalog.policy.document) if d is not None)
        return Rules(tuple(documents), self._world.floors, pending)

    def _take(self, tip: CommitId) -> GateResult | None:
        """Judge what changed since the last policy that was let in; why not all of it is in force, if so."""
        if self._unchanged_upto(tip):
            return None
        start = self._begin(tip)
        after = start.accepted.commit or None
        changes = self._world.repository.changes(POLICY, after, tip)
        if not changes:
            return None
        judge = Judge(_NAME, self._world.newcomer)
        judge.begin_at(start.accepted, start.reading)
        history = History(self._world, POLICY, changes, self._read, lambda _: self._bars())
        states, known = [start], {start.reading.digest: start.reading}
        for step in history.steps(start.reading):
            if isinstance(step.after, PolicyReading):
                known[step.after.digest] = step.after
            judge.take(step, history.evidence(step) if judge.asks_for(step) else None)
            if judge.clean.digest != states[-1].reading.digest:
                states.append(self._state(judge.clean, known))
        self._states = [*self._states[:-1], *states][-_KEPT:]
        word = judge.word(self._catalog.policy)
        return word if word.verdict is not Verdict.PASSED else None

    def _unchanged_upto(self, tip: CommitId) -> bool:
        """Whether all was in force at the last look, and nothing touched the policy since."""
        if self._rules is None or self._rules.pending or not self._looked or not self._reaches(self._looked, tip):
            return False
        return not self._world.repository.changes(POLICY, self._looked, tip)

    def _state(self, clean: State, known: Mapping[Digest, PolicyReading]) -> _State:
        assert clean.digest is not None
        assert clean.commit is not None
        now = self._world.clock.now()
        return _State(
            AcceptedPolicy(clean.commit, clean.digest, clean.request, clean.approvers, now), known[clean.digest]
        )

    def _begin(self, tip: CommitId) -> _State:
        """Where the judgement begins: at what was let in last, at the operator's baseline, or before any policy."""
        remembered = self._states[-1].accepted if self._states else self._world.store.policy()
        if remembered and self._reaches(remembered.commit, tip):
            reading = self._read(self._world.repository.entry(remembered.commit, POLICY))
            if reading.digest == remembered.digest:
                self._saved = self._saved or remembered
                self._states = self._states or [_State(remembered, reading)]
                return self._states[-1]
        if remembered is None or remembered.commit:
            self._states = []  # it was of another history: judged anew, as after the loss of the store
        now, baseline = self._world.clock.now(), self._world.baseline
        if baseline and self._reaches(baseline, tip):
            reading = self._read(self._world.repository.entry(baseline, POLICY))
            if reading.document is not None:
                return _State(AcceptedPolicy(baseline, reading.digest, f"baseline {baseline[:12]}", (), now), reading)
        return _State(AcceptedPolicy(_NOWHERE, NO_POLICY.digest, "", (), now), NO_POLICY)

    def _save(self) -> None:
        newest = self._states[-1].accepted if self._states else None
        if self._remember and newest and newest.commit and newest != self._saved:
            self._world.store.save_policy(newest)
            self._saved = newest

    def _bars(self) -> tuple[Policy, ...]:
        """What every change of the policy must satisfy on top of what the policy before it asks."""
        return tuple(dict.fromkeys((self._world.newcomer, *(floor.spec for floor in self._world.floors))))

    def _reaches(self, old: CommitId, new: CommitId) -> bool:
        return bool(old) and self._world.repository.is_ancestor(old, new)

    def _tip(self) -> CommitId:
        tip = self._catalog.tip
        assert tip is not None
        return tip

    def _read(self, entry: TreeEntry | None) -> PolicyReading:
        wanted = [entry.blob] if entry and is_regular(entry) else []
        return policy_entry(entry, self._world.repository.read_blobs(wanted, MAX_BYTES))
