"""The rules in force: the operator's floors, the policy that people let in, and whatever the tip tightens.

The policy file is judged like a declaration: by the policy before it, change by change. Until a change is let in,
the stricter of the two counts, so that a freeze or a revocation holds at once and nothing is loosened by a push.
While nobody can tell what was let in, every version since the last one that was counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.core.approve import Judge
from reconciler.core.asked import pending
from reconciler.core.declare import FOLDER, POLICY
from reconciler.core.folder import is_regular, policy_entry
from reconciler.core.policy import Policy
from reconciler.core.rules import NO_POLICY, Entry, PolicyDocument, PolicyReading, Rules, read_policy
from reconciler.core.yamltree import MAX_BYTES
from reconciler.declarations.catalog import Catalog
from reconciler.errors import WAITS_FOR_PEOPLE, PolicyDenied, Reason, ReconcilerError
from reconciler.model import AcceptedPolicy, Change, CommitId, EnvironmentName, Gate, GateResult, TreeEntry, Verdict
from reconciler.pipeline.changes import History
from reconciler.pipeline.world import World

PATIENCE = 5.0
"""Seconds for which a policy that is not in force as a whole is not judged again: thousands ask, one look is enough.
Doubled for each time that nothing but people's word is missing: every judgement asks the forge."""
LONGEST_PATIENCE = 300.0
"""Seconds after which it is judged again at the latest, though nobody says that anything happened."""
_NAME = EnvironmentName(POLICY.removesuffix(".yaml"))
"""Of no environment: the file's name is reserved."""
_NOWHERE = CommitId("")
"""Before the first commit."""


@dataclass(frozen=True, slots=True)
class _Start:
    """Where the judgement of the policy begins."""

    accepted: AcceptedPolicy
    reading: PolicyReading
    remembered: bool
    """Whether it was let in by an earlier judgement; else the judgement begins at the baseline, or at the root."""


@dataclass(frozen=True, slots=True)
class _State:
    """What people had let in, from a commit on."""

    commit: CommitId
    document: PolicyDocument


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of a judgement up to one tip."""

    accepted: AcceptedPolicy
    states: tuple[_State, ...]
    pending: GateResult | None


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
        self._accepted: AcceptedPolicy | None = None
        self._saved: AcceptedPolicy | None = None
        self._states: tuple[_State, ...] = ()
        """What was let in when, oldest first; from the beginning on only when `_whole`."""
        self._whole = False
        self._quiet = False
        """Whether there never was a policy."""
        self._rules: Rules | None = None
        self._looked: CommitId | None = None
        """The tip up to which every change of the policy was judged."""
        self._tried: CommitId | None = None
        """The tip that the rules are of, also where not every change up to it could be judged."""
        self._until = 0.0
        self._vain = 0
        """How often in a row the same tip was judged, with a policy that is not in force as a whole."""

    def rules(self) -> Rules:
        """The rules at the catalog's tip.

        Raises:
            ReconcilerError: Nobody can tell which policy was let in: nothing may be promoted meanwhile.
        """
        with self._lock:
            return self._current()

    def look_again(self) -> None:
        """Judge what is not in force at the next question: something may have happened at the forge."""
        with self._lock:
            self._until, self._vain = 0.0, 0

    @property
    def let_in_at(self) -> datetime | None:
        """When the policy in force was let in, by this machine's clock then; None when none ever was."""
        return self._accepted.accepted_at if self._accepted and self._accepted.commit else None

    def floors_at(self, environment: EnvironmentName, change: Change) -> tuple[Policy, ...]:
        """What was asked of one change: by the operator, and by the policy before it, as it stood and was let in.

        Raises:
            ReconcilerError: It can't be told.
        """
        with self._lock:
            self._current()
            documents = self._before(change)
        return Rules(tuple(documents), self._world.floors).floors_for(environment)

    def asked_of_policy(self, merge: CommitId) -> GateResult:
        """What a merge that is only proposed must bring to change the policy; or what no merge can settle.

        Raises:
            ReconcilerError: As `rules` does.
        """
        with self._lock:
            start, asked = self._begin(self._tip()), tuple[Policy, ...]()
            changes = self._world.repository.changes(POLICY, start.accepted.commit or None, self._tip())
            judge = Judge(_NAME, self._world.newcomer, binding=True)
            judge.begin_at(start.accepted, start.reading)
            history = self._history(start, changes)
            for step in history.steps():
                if step.commit == merge:
                    asked = judge.asked_of(step)
                    judge.suppose(step)
                else:
                    judge.take(step, history.evidence(step, judge.asked_of(step)) if judge.asks_for(step) else None)
        word = judge.word(self._catalog.policy)
        return word if word.verdict is Verdict.HELD else pending(asked)

    # --- what counts now --------------------------------------------------------------------------

    def _current(self) -> Rules:
        if self._catalog.rewritten:
            return self._unjudged()
        now, tip, rules = self._world.clock.monotonic(), self._tip(), self._rules
        if rules is None or tip != self._tried or (rules.pending and now >= self._until):
            self._rules = rules = self._judged(tip)
            waits = rules.pending is not None and rules.pending.reason in WAITS_FOR_PEOPLE
            self._vain = self._vain + 1 if waits and tip == self._tried else 0
            self._tried, self._until = tip, now + min(LONGEST_PATIENCE, PATIENCE * 2.0 ** min(self._vain, 10))
        self._save()
        return rules

    def _judged(self, tip: CommitId) -> Rules:
        if self._rules and self._is_settled_upto(tip):
            self._looked = tip
            return self._rules
        start = self._begin(tip)
        changes = self._world.repository.changes(POLICY, start.accepted.commit or None, tip)
        try:
            judged = self._judge(start, changes)
        except ReconcilerError as error:
            if not start.remembered or error.reason is Reason.STORE_UNAVAILABLE:
                raise
            pending = GateResult(Gate.APPROVAL, Verdict.HELD, error.reason, error.message, (), error.hint)
            since = (self._read(change.after).document for change in changes)
            let_in = (state.document for state in self._states[-1:])
            return self._rules_of((*let_in, start.reading.document, *since), pending)
        self._keep(start, judged.states)
        self._quiet = self._whole and not changes and start.reading is NO_POLICY
        self._accepted, self._looked = judged.accepted, tip
        return self._rules_of((judged.states[-1].document,), judged.pending)

    def _keep(self, start: _Start, states: tuple[_State, ...]) -> None:
        """Put what was judged behind what is known from before where it began."""
        known = [state.commit for state in self._states]
        if start.accepted.commit in known:
            self._states = (*self._states[: known.index(start.accepted.commit)], *states)
        else:
            self._states, self._whole = states, not start.remembered

    def _rules_of(self, documents: Iterable[PolicyDocument | None], pending: GateResult | None) -> Rules:
        found = (document for document in (*documents, self._catalog.policy.document) if document is not None)
        return Rules(tuple(dict.fromkeys(found)), self._world.floors, pending)

    def _unjudged(self) -> Rules:
        """While the branch may not be followed: what was let in before, and what stands there now."""
        accepted = self._accepted or self._world.store.policy()
        return self._rules_of((_reading(accepted).document if accepted else None,), None)

    def _is_settled_upto(self, tip: CommitId) -> bool:
        """Whether all was in force at the last look, and nothing touched the policy since."""
        if self._rules is None or self._rules.pending or not self._looked or not self._reaches(self._looked, tip):
            return False
        return not self._world.repository.changes(POLICY, self._looked, tip)

    # --- the judgement ----------------------------------------------------------------------------

    def _judge(self, start: _Start, changes: tuple[Change, ...]) -> _Judged:
        judge = Judge(_NAME, self._world.newcomer, binding=True)
        judge.begin_at(start.accepted, start.reading)
        history = self._history(start, changes)
        entries = dict(_entries(start.reading))
        states = [_State(start.accepted.commit, PolicyDocument.of(entries.values()))]
        for step in history.steps():
            if isinstance(step.after, PolicyReading):
                entries |= _entries(step.after)
            judge.take(step, history.evidence(step, judge.asked_of(step)) if judge.asks_for(step) else None)
            document = PolicyDocument.of(entry for name, entry in entries.items() if judge.let_in.get(name))
            if document != states[-1].document:
                states.append(_State(step.commit, document))
        clean, accepted = judge.clean, start.accepted
        if clean.digest != start.reading.digest and clean.commit is not None and clean.digest is not None:
            now = self._world.clock.now()
            text = self._text(self._world.repository.entry(clean.commit, POLICY))
            accepted = AcceptedPolicy(clean.commit, clean.digest, clean.request, clean.approvers, now, text)
        word = judge.word(self._catalog.policy)
        return _Judged(accepted, tuple(states), word if word.verdict is not Verdict.PASSED else None)

    def _history(self, start: _Start, changes: tuple[Change, ...]) -> History:
        begun_at = start.accepted.commit or None
        return History(self._world, POLICY, changes, self._read, lambda _: self._bars(), start.reading, begun_at)

    def _begin(self, tip: CommitId) -> _Start:
        """Begin at what was let in last, also when an operator accepted another history since."""
        remembered = self._accepted or self._world.store.policy()
        if remembered is None or not remembered.commit:
            return self._beginning(tip)
        self._saved = self._saved or remembered
        reading = _reading(remembered)
        if reading.digest != remembered.digest:
            return self._beginning(tip)
        if self._reaches(remembered.commit, tip):
            return _Start(remembered, reading, remembered=True)
        rewrites = reversed(self._world.store.rewrites())
        onto = next((rewrite.tip for rewrite in rewrites if self._reaches(rewrite.tip, tip)), None)
        if onto is None:
            raise PolicyDenied(
                Reason.BRANCH_REWRITTEN,
                f"the policy was let in as {remembered.commit[:12]}, which is not in this history",
                "push the branch back to a history that contains it; if it was meant: reconciler accept-rewrite",
            )
        return _Start(replace(remembered, commit=onto), reading, remembered=True)

    def _beginning(self, tip: CommitId) -> _Start:
        """Begin at the operator's baseline, or before any policy."""
        now, baseline = self._world.clock.now(), self._world.baseline
        if baseline and self._reaches(baseline, tip):
            entry = self._world.repository.entry(baseline, POLICY)
            reading, text = self._read(entry), self._text(entry)
            if reading.document is not None:
                trusted = AcceptedPolicy(baseline, reading.digest, f"baseline {baseline[:12]}", (), now, text)
                return _Start(trusted, reading, remembered=False)
        return _Start(AcceptedPolicy(_NOWHERE, NO_POLICY.digest, "", (), now), NO_POLICY, remembered=False)

    def _bars(self) -> tuple[Policy, ...]:
        """What every change of the policy must satisfy on top of what the policy before it asks."""
        return tuple(dict.fromkeys((self._world.newcomer, *(floor.spec for floor in self._world.floors))))

    # --- what counted then ------------------------------------------------------------------------

    def _before(self, change: Change) -> list[PolicyDocument]:
        """The policies that bind a change: the file at its parent, and what was let in before it or beside it.

        What was let in on another line than the change counts too: a merge with its sides swapped could else bring
        in what was prepared before a floor.
        """
        if self._quiet:
            return []
        below = self._below(change)
        if not below and not self._whole:
            start = self._beginning(self._tip())
            changes = self._world.repository.changes(POLICY, start.accepted.commit or None, self._tip())
            judged = self._judge(start, changes).states
            known = {state.commit for state in judged}
            self._states = (*judged, *(state for state in self._states if state.commit not in known))
            self._whole = True
            below = self._below(change)
        later = {state.commit for state in self._states if self._reaches(change.commit, state.commit)}
        beside = [state for state in self._states if state not in below and state.commit not in later]
        stood = self._at(change.parent) if change.parent else []
        return [*stood, *(state.document for state in (*below[-1:], *beside))]

    def _below(self, change: Change) -> list[_State]:
        parent = change.parent
        return [state for state in self._states if parent and self._reaches(state.commit, parent)]

    def _at(self, commit: CommitId) -> list[PolicyDocument]:
        document = self._read(self._world.repository.entry(commit, POLICY)).document
        return [document] if document else []

    # --- reading and remembering ------------------------------------------------------------------

    def _save(self) -> None:
        """Tell the store what is in force; what it would not take is told at the next look."""
        newest, saved = self._accepted, self._saved
        if not self._remember or newest is None or not newest.commit:
            return
        if saved is None or (newest.digest, newest.commit) != (saved.digest, saved.commit):
            self._world.store.save_policy(newest)
            self._saved = newest

    def _reaches(self, old: CommitId, new: CommitId) -> bool:
        return not old or self._world.repository.is_ancestor(old, new)

    def _tip(self) -> CommitId:
        tip = self._catalog.tip
        assert tip is not None
        return tip

    def _read(self, entry: TreeEntry | None) -> PolicyReading:
        wanted = [entry.blob] if entry and is_regular(entry) else []
        return policy_entry(entry, self._world.repository.read_blobs(wanted, MAX_BYTES))

    def _text(self, entry: TreeEntry | None) -> str:
        if entry is None:
            return ""
        data = self._world.repository.read_blobs([entry.blob], MAX_BYTES)[entry.blob]
        return data.decode() if data else ""


def _reading(accepted: AcceptedPolicy) -> PolicyReading:
    """What was let in, from the record's own text."""
    if accepted.digest == NO_POLICY.digest:
        return NO_POLICY
    return read_policy(f"{FOLDER}/{POLICY}", accepted.text.encode())


def _entries(reading: PolicyReading) -> dict[str, Entry]:
    return dict(reading.document.entries()) if reading.document else {}
