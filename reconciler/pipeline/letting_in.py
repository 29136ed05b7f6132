"""Brings one environment's changes to the judge: from where its judgement begins, and with what was asked of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from reconciler.core.approve import Approval, Judge
from reconciler.core.asked import pending
from reconciler.core.declare import Declaration, PromoteSpec, Reading
from reconciler.core.policy import Policy, Step, Version
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.model import Accepted, Change, CommitId, GateResult, Verdict
from reconciler.pipeline.changes import History
from reconciler.pipeline.home import Home, reading_at, reading_of
from reconciler.pipeline.rulebook import Rulebook
from reconciler.pipeline.world import World


class LettingIn:
    """Whether people let in what changed one environment's file.

    Args:
        world: The parts.
        rulebook: Knows the floors.
        file: The file at the tip.
        home: What was accepted, and where.
        changes: First-parent commits that changed the file since, oldest first.
    """

    def __init__(
        self, world: World, rulebook: Rulebook, file: DeclaredFile, home: Home | None, changes: tuple[Change, ...]
    ) -> None:
        self._world = world
        self._rulebook = rulebook
        self._file = file
        self._home = home
        self._changes = changes
        self.promotes: tuple[PromoteSpec | None, ...] | None = None
        """What the artifact must be proven by: the rule that stood before it was declared, and the tip's. None while
        not every change was looked at."""

    def verdict(self, tip: Reading, now: datetime) -> tuple[GateResult, Approval | None]:
        """The gate's word on the file at the tip, and the approval if it passed.

        Raises:
            ReconcilerError: `ForgeUnavailable`, or the repository can't be read.
        """
        judge, history = self._beginning()
        for step in self._steps(judge, history):
            judge.take(step, history.evidence(step, judge.asked_of(step)) if judge.asks_for(step) else None)
        return judge.verdict(tip, now)

    def asked_of(self, merge: CommitId) -> GateResult:
        """What a merge that is only proposed must bring, as a word that is still pending; or what it can't settle.

        Raises:
            ReconcilerError: As `verdict` does, for what came before the merge.
        """
        (judge, history), asked = self._beginning(), tuple[Policy, ...]()
        for step in self._steps(judge, history):
            if step.commit == merge:
                asked = judge.asked_of(step)
                judge.suppose(step)
            else:
                judge.take(step, history.evidence(step, judge.asked_of(step)) if judge.asks_for(step) else None)
        waits, reading = pending(asked), self._file.reading
        assert reading is not None
        word = judge.word(reading)
        return replace(word, evidence=(*word.evidence, *waits.evidence)) if word.verdict is Verdict.HELD else waits

    def _beginning(self) -> tuple[Judge, History]:
        judge = Judge(self._file.environment, self._world.newcomer)
        begun = self._begin(judge)
        return judge, self._history(begun, judge.clean.commit)

    def _steps(self, judge: Judge, history: History) -> Iterator[Step]:
        """The changes in order; keeps on the way which promotion rules stood before the artifact was declared.

        As for approvals, that is the rule of the parent and the one that was let in last: a push that drops the rule
        does not count, and a change that brings it back in another form is judged by what it replaces.
        """
        begun = history.begun
        declaration = _declaration(begun)
        before: tuple[PromoteSpec | None, ...] = (declaration.promote if declaration else None,)
        home = self._home
        if home and home.rebased and home.accepted and (begun.digest if begun else None) != home.accepted.declaration:
            rewrite = Change(home.rebased, None, None, None)
            floors = self._rulebook.floors_at(self._file.environment, rewrite)
            yield Step(home.rebased, begun, from_side=True, floors=floors)  # an operator let it follow, not in
        for step in history.steps():
            let_in = _promote(judge.clean.fields)
            yield step
            if after := _declaration(judge.before):
                if declaration is None or after.artifact != declaration.artifact:
                    before = (declaration.promote if declaration else None, let_in)
                declaration = after
        tip = self._file.reading.declaration if self._file.reading else None
        self.promotes = (*before, tip.promote if tip else None)

    def _begin(self, judge: Judge) -> Reading | None:
        """Begin at what was accepted, at the operator's baseline, or (None) at the very start."""
        home, baseline = self._home, self._world.baseline
        if home and home.accepted and home.rebased:
            if home.reading:
                judge.begin_at(replace(home.accepted, commit=home.rebased), home.reading)
            else:
                judge.begin_unread(home.accepted)
            return reading_at(self._world, self._file, home.rebased)
        if home and home.accepted and home.reading:
            judge.begin_at(home.accepted, home.reading)
            return home.reading
        if baseline and (reading := reading_at(self._world, self._file, baseline)) and reading.declaration:
            judge.begin_at(self._trusted(baseline, reading, reading.declaration), reading)
            return reading
        return None

    def _history(self, begun: Reading | None, begun_at: CommitId | None) -> History:
        def floors(change: Change) -> tuple[Policy, ...]:
            return self._rulebook.floors_at(self._file.environment, change)

        return History(
            self._world,
            self._file.path,
            self._changes,
            lambda entry: reading_of(self._world, self._file, entry),
            floors,
            begun,
            begun_at,
        )

    def _trusted(self, baseline: CommitId, reading: Reading, declaration: Declaration) -> Accepted:
        return Accepted(
            environment=self._file.environment,
            commit=baseline,
            declaration=reading.digest,
            run_id=declaration.run_id,
            sha256=declaration.sha256,
            request=f"baseline {baseline[:12]}",
            approvers=(),
            accepted_at=self._world.clock.now(),
        )


def _declaration(version: Version | None) -> Declaration | None:
    document = version.document if version else None
    return document if isinstance(document, Declaration) else None


def _promote(fields: Mapping[str, object]) -> PromoteSpec | None:
    """The promotion rule among a declaration's fields."""
    after, soak = fields.get("promote.after"), fields.get("promote.soak")
    return PromoteSpec.model_validate({"after": after, "soak": soak}) if after and soak else None
