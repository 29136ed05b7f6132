"""Brings the facts to each gate and keeps its word; the verdicts themselves are pure and in `core`.

The gates are asked in the order of `model.Gate`, and the first that holds ends the judgement: nothing is
asked of CI on behalf of a declaration that nobody approved.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.catalog import Declared as DeclaredFile
from reconciler.core.approve import Approval, Judge
from reconciler.core.declare import Declaration, Reading
from reconciler.core.policy import Evidence, Step
from reconciler.core.provenance import Provenance, judge_run
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import (
    Accepted,
    Artifact,
    Attempt,
    Change,
    CommitId,
    Digest,
    Gate,
    GateResult,
    OperatorHand,
    Run,
    Status,
    Verdict,
)
from reconciler.pipeline.home import Home, reading_at, reading_of
from reconciler.pipeline.world import Held, World, gate
from reconciler.ports import Source

_TOLD = 5
"""Problems of a file that a status repeats; `validate` tells them all."""

Origin = tuple[Source, Run, Artifact]


class Gates:
    """The gates of one pass."""

    def __init__(self, world: World, file: DeclaredFile, home: Home | None) -> None:
        self._world = world
        self._file = file
        self._home = home
        self._accepted = home.accepted if home else None
        self._words: dict[Gate, GateResult] = {}
        self.changes: tuple[Change, ...] = ()
        """What changed the file since it was last accepted, oldest first; empty when nothing did."""

    def results(self) -> tuple[GateResult, ...]:
        """Every gate's word, in order."""
        return tuple(self._words.get(name, GateResult(name, Verdict.NOT_REACHED)) for name in Gate)

    def passed(self, name: Gate, *evidence: str) -> None:
        """Keep that a gate passed, and on what evidence."""
        self._words[name] = GateResult(name, Verdict.PASSED, evidence=evidence)

    def judged_before(self) -> None:
        """What is live already was judged when it was deployed; CI is not asked again, and may have forgotten."""
        for name in (Gate.PROVENANCE, Gate.CUSTODY):
            self.passed(name, "judged when it was deployed")

    def recall(self, attempt: Attempt) -> None:
        """What passed in an earlier attempt at the very same; asked again, it would only be asked in vain."""
        for result in attempt.gates:
            if result.verdict is Verdict.PASSED and result.gate not in self._words:
                self.keep(result)

    def keep(self, result: GateResult) -> None:
        """Keep a gate's word as it was given."""
        self._words[result.gate] = result

    def history(self) -> None:
        """The tip descends from what was accepted, and the file is still there.

        Raises:
            Held: `BranchRewritten`, `EnvironmentRemoved`.
        """
        file, accepted = self._file, self._accepted
        with gate(Gate.HISTORY):
            if file.rewritten:
                hint = "push the branch back to a history that contains the last tip that was seen"
                raise PolicyDenied(Reason.BRANCH_REWRITTEN, file.rewritten, hint)
            if accepted and self._home and self._home.reading is None:
                raise PolicyDenied(
                    Reason.BRANCH_REWRITTEN,
                    f"the tip {file.tip[:12]} does not descend from {accepted.commit[:12]} with the file as it was "
                    "accepted there",
                    f"push the branch back to a history that contains it, such as {accepted.commit} itself",
                )
            if file.reading is None or accepted is None or file.reading.digest != accepted.declaration:
                start = accepted.commit if accepted else self._baseline()
                self.changes = self._world.repository.changes(file.path, start, file.tip)
            if file.reading is None:
                raise PolicyDenied(
                    Reason.ENVIRONMENT_REMOVED,
                    f"environments/{file.path} is gone from the branch; what is live stays",
                    "put the file back; to end the environment, remove what is live by hand: it is not deployed again",
                )
        self.passed(Gate.HISTORY, *([f"descends from {accepted.commit[:12]}"] if accepted else ["nothing before it"]))

    def schema(self) -> Declaration:
        """The file can be read, and no other environment has a better claim on its target.

        Raises:
            Held: `InvalidDeclaration`.
        """
        reading = self._file.reading
        assert reading is not None
        with gate(Gate.SCHEMA):
            if reading.declaration is None:
                told = [str(problem) for problem in reading.problems[:_TOLD]]
                more = len(reading.problems) - len(told)
                raise PolicyDenied(
                    Reason.INVALID_DECLARATION,
                    "; ".join(told) + (f"; and {more} more" if more else ""),
                    "mend the file; `reconciler validate` shows every problem before a push",
                )
        self.passed(Gate.SCHEMA, f"environments/{self._file.path}, sha256 {reading.digest[:12]}")
        return reading.declaration

    def rivalry(self, declaration: Declaration) -> None:
        """No other environment has an equal or better claim on the declared target.

        Raises:
            Held: `InvalidDeclaration`.
        """
        home = self._home
        if not self._file.rivals or (home and home.observed.accepted and home.path == declaration.target.path):
            return
        statuses = self._world.store.statuses()
        others = [name for name in self._file.rivals if not _unapproved(statuses.get(name))]
        with gate(Gate.SCHEMA):
            if others:
                raise PolicyDenied(
                    Reason.INVALID_DECLARATION,
                    f"target.path {declaration.target.path} overlaps with that of {', '.join(others[:3])}",
                    "give each environment a folder of its own",
                )

    def suspension(self, declaration: Declaration, hand: OperatorHand) -> None:
        """Nobody said to leave this environment alone.

        Raises:
            Held: `Suspended`.
        """
        with gate(Gate.SUSPENSION):
            if hand.suspended:
                why = f": {hand.reason}" if hand.reason else ""
                message = f"suspended by {hand.by or 'the operator'}{why}"
                raise PolicyDenied(Reason.SUSPENDED, message, f"reconciler resume {self._file.environment}")
            if declaration.suspend:
                raise PolicyDenied(Reason.SUSPENDED, "suspended in its file", "set suspend: false through a change")
        self.passed(Gate.SUSPENSION)

    def approval(self) -> Approval:
        """People let in everything that changed the file since it was last accepted.

        Raises:
            Held: with the approval's own reasons, or `ForgeUnavailable`.
        """
        reading = self._file.reading
        assert reading is not None
        now = self._world.clock.now()
        with gate(Gate.APPROVAL):
            judge = Judge(self._file.environment, self._world.newcomer)
            for step in self._steps(self._begin(judge)):
                judge.take(step, self._evidence(step) if judge.asks_for(step) else None)
            result, approval = judge.verdict(reading, now)
        if approval is None:
            raise Held(result)
        self.keep(result)
        return approval

    def provenance(self, declaration: Declaration) -> Origin:
        """The declared run may be promoted, and has the artifact.

        Raises:
            Held: with the provenance's reasons, or `SourceUnavailable`.
        """
        with gate(Gate.PROVENANCE):
            source, rules = self._source(declaration)
            run = source.run(declaration.run_id)
            artifact = judge_run(run, declaration, rules, self._world.bounds)
        self.passed(
            Gate.PROVENANCE,
            f"run {run.run_id} of {run.repository}: {run.workflow}, {run.event} on {run.branch}",
            f"attempt {run.attempt} ended with {run.conclusion}, built from {run.commit[:12]}",
        )
        return source, run, artifact

    def _baseline(self) -> CommitId | None:
        baseline = self._world.baseline
        if baseline and not self._world.repository.is_ancestor(baseline, self._file.tip):
            raise PolicyDenied(
                Reason.BRANCH_REWRITTEN,
                f"the tip {self._file.tip[:12]} does not descend from the baseline {baseline[:12]}",
                "correct repository.baseline in the settings",
            )
        return baseline

    def _begin(self, judge: Judge) -> Reading | None:
        """Begin at what was accepted, at the operator's baseline, or (None) at the very start."""
        home, baseline = self._home, self._world.baseline
        if home and home.accepted and home.reading:
            judge.begin_at(home.accepted, home.reading)
            return home.reading
        if baseline and (reading := reading_at(self._world, self._file, baseline)) and reading.declaration:
            judge.begin_at(self._trusted(baseline, reading, reading.declaration), reading)
            return reading
        return None

    def _steps(self, begun: Reading | None) -> Iterator[Step]:
        """Every change, and whatever came in between from the side.

        A merge whose sides are swapped puts the first-parent history on another line, on which the file may
        stand differently than after the change before. Nobody approved that difference: it is a step of its own,
        of a commit that no request merged.
        """
        before = begun.digest if begun else None
        for change in self.changes:
            parent = reading_of(self._world, self._file, change.before)
            if (parent.digest if parent else None) != before and change.parent is not None:
                yield Step(change.parent, parent, from_side=True)
            after = reading_of(self._world, self._file, change.after)
            before = after.digest if after else None
            yield Step(change.commit, after)

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

    def _evidence(self, step: Step) -> Evidence:
        if self._world.forge is None:
            raise Transient(
                Reason.FORGE_UNAVAILABLE,
                f"no forge is set up, so nobody can tell who let commit {step.commit[:12]} in",
                "set forge: in the settings",
            )
        facts = self._world.forge.facts(step.commit)
        heads = {request.head: self._digest_at(request.head) for request in facts.requests}
        parent = next((change.parent for change in self.changes if change.commit == step.commit), None)
        bases = {head: self._digests_where_parted(parent, head) for head in heads} if parent else {}
        return Evidence(facts, heads, bases)

    def _digests_where_parted(self, parent: CommitId, head: CommitId) -> frozenset[Digest | None]:
        return frozenset(self._digest_at(base) for base in self._world.repository.merge_bases(parent, head))

    def _digest_at(self, commit: CommitId) -> Digest | None:
        reading = reading_at(self._world, self._file, commit)
        return reading.digest if reading else None

    def _source(self, declaration: Declaration) -> tuple[Source, Provenance]:
        sources = self._world.sources
        name = declaration.artifact.source or (next(iter(sources)) if len(sources) == 1 else "")
        if name not in sources:
            known = ", ".join(sorted(sources)) or "none"
            raise PolicyDenied(
                Reason.RUN_NOT_ALLOWED,
                f"artifact.source {name!r} is not set up here; known: {known}",
                "name one of the operator's sources",
            )
        return sources[name]


def _unapproved(status: Status | None) -> bool:
    """Whether an environment's declaration is known not to be let in: it has no claim on anything."""
    return status is not None and any(
        word.gate is Gate.APPROVAL and word.verdict is Verdict.HELD for word in status.gates
    )
