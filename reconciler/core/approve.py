"""Who let a declaration in: facts of the forge against the rules that stood before each change.

The `Judge` is fed every first-parent commit that changed one governed file (an environment's, or the policy) since
it was last accepted, oldest first, and then asked for its verdict. It never looks anything up: the pipeline brings
the facts, and `asks_for` says for which commits it needs them. Its ordering rules:

1. A change is judged by the rules before it: those of the last state that was let in *and* those of its
   parent commit, so that neither the change itself nor an unapproved push can lower the bar. A higher bar
   binds from the commit that was let in; no push takes it back. Floors come on top: the strictest counts.
2. An approved change vouches for the fields that it changed, for these are what its reviewers were shown.
3. A field that an unapproved commit changed taints the declaration until it is set back to what was last let
   in, or changed anew by an approved change. So a direct push holds until it is reverted or replaced, and a
   pull request on top of it smuggles nothing in.
4. A request that came as several commits is judged as one change: from what stood before the first of them to what
   the last one left. Nobody was shown the states between.

It is the only place that makes an `Approval`, and a target takes nothing else: deploying what nobody
approved does not type-check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import final

from reconciler.core.declare import Declaration, Reading
from reconciler.core.letin import Standing, State, differing, in_words, told
from reconciler.core.policy import HOW, Evidence, Governed, Granted, Policy, Step, Version, ask, refused
from reconciler.errors import Reason
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    CommitId,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    RunId,
    Verdict,
)


@final
class _Seal:
    """Known to this module alone: what makes the constructor below private."""


_SEAL = _Seal()
_LOGGED = 60
"""Lines of evidence that a passed approval keeps: the newest."""
PLACE = "target.path"
"""The field of a declaration that claims a place."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Proof that people let this very declaration in."""

    environment: EnvironmentName
    commit: CommitId
    """The commit on the tracked branch that brought the declaration."""
    declaration: Digest
    """SHA-256 of the declaration file's bytes: what the approval is bound to."""
    run_id: RunId
    sha256: Digest
    request: str
    """How it came to the branch, for people: `#12`, `merge 1a2b3c4d5e6f`; empty without a gate."""
    approvers: tuple[str, ...]
    """Immutable ids, each behind a name where it is none itself: `carol(583231)`."""
    judged_at: datetime
    _seal: _Seal


class Judge:
    """Takes the changes of one environment file in order; see the module's text for the rules."""

    def __init__(self, environment: EnvironmentName, newcomer: Policy, *, binding: bool = False) -> None:
        """Begin before the file's first commit.

        Args:
            environment: Whose file it is.
            newcomer: Lets a new file in.
            binding: Whether each field binds as soon as it was let in, so that going back to an earlier state of the
                file takes something away. An environment's file only says what should be live, as a whole.
        """
        self._environment = environment
        self._binding = binding
        self._newcomer = newcomer
        self._clean = State(fields={}, digest=None, policies=(newcomer,), commit=None)
        self._before: Version | None = None
        self._let_in: dict[str, object] = {}
        self._taints: dict[str, GateResult] = {}
        self._broken: GateResult | None = None
        self._unread: GateResult | None = None
        self._log: list[str] = []
        self._returns: dict[CommitId, Standing] = {}

    @property
    def clean(self) -> State:
        """The last state that was let in as a whole."""
        return self._clean

    @property
    def before(self) -> Version | None:
        """The file as the last change left it; what was only in the middle of a request is passed over."""
        return self._before

    @property
    def let_in(self) -> Mapping[str, object]:
        """Each field as people let it in last, None for one they took out; ahead of `clean` while another waits."""
        return self._let_in

    def begin_at(self, accepted: Accepted | AcceptedPolicy, version: Version) -> None:
        """Begin at a state that was accepted earlier; `version` is the file as it was then."""
        assert version.document is not None
        self._clean = State(
            fields=version.document.leaves(),
            digest=version.digest,
            policies=version.document.bars,
            commit=accepted.commit,
            request=accepted.request,
            approvers=accepted.approvers,
        )
        self._let_in = dict(self._clean.fields)
        self._before = version

    def begin_unread(self, accepted: Accepted) -> None:
        """Begin at a declaration whose text is gone with the history that held it: only its digest is known.

        Nobody can tell what its rules asked for, so no change lets anything in until the file goes back to those very
        bytes.
        """
        self._unread = refused(
            Reason.APPROVAL_MISSING,
            f"the declaration that was let in as {accepted.commit[:12]} is gone with the history that held it, "
            "so nobody can tell who had to let a change of it in",
            f"put back the file whose sha256 is {accepted.declaration}, through any commit; then change it",
        )
        self._clean = replace(
            self._clean,
            digest=accepted.declaration,
            commit=accepted.commit,
            request=accepted.request,
            approvers=accepted.approvers,
        )

    def asked_of(self, step: Step) -> tuple[Policy, ...]:
        """All that a change must satisfy, each once: for whoever wants to know before it is merged."""
        return tuple(dict.fromkeys(self._policies(step)))

    def asks_for(self, step: Step) -> bool:
        """Whether the forge's facts about this commit decide anything."""
        open_question = not step.from_side and not self._goes_back(step)
        return open_question and any(policy != "none" for policy in self._policies(step))

    def take(self, step: Step, evidence: Evidence | None) -> None:
        """Judge one change. `evidence` may be None only where `asks_for` said no."""
        if evidence:
            if evidence.is_underway(step):
                return
            self._undo_return(evidence)
        if self._goes_back(step):
            assert step.after is not None
            self._returns[step.commit] = self._standing()
            clean = replace(self._clean, commit=step.commit)
            if step.after.document is not None:
                clean = replace(clean, fields=step.after.document.leaves())
            self._settle(clean, f"{step.commit[:12]} went back to what was let in")
        else:
            self._move(step, self._judge(step, evidence))
        self._before = step.after

    def _standing(self) -> Standing:
        return Standing(self._clean, self._before, self._let_in, self._taints, self._broken, self._unread)

    def _undo_return(self, evidence: Evidence) -> None:
        """Take back that a request went back to what was let in, on its way to what it left.

        Else a push could be let in by a request that takes it out and puts it in again: it shows nothing of it.
        """
        brought = (commit for request in evidence.facts.requests for commit in request.landed)
        stood = next((self._returns[commit] for commit in brought if commit in self._returns), None)
        if stood:
            self._clean, self._before = stood.clean, stood.before
            self._let_in, self._taints = dict(stood.let_in), dict(stood.taints)
            self._broken, self._unread = stood.broken, stood.unread

    def suppose(self, step: Step) -> None:
        """Take a change as if everybody who is asked had let it in: what still waits then, no merge can settle."""
        self._move(step, self._unread or Granted("", ()))
        self._before = step.after

    def word(self, tip: Version) -> GateResult:
        """The gate's word on the file at the tip, which must be what the last step left, or the judge began at."""
        if self._taints or self._broken or self._clean.digest != tip.digest or self._clean.commit is None:
            return self._refusal()
        evidence = tuple(self._log[-_LOGGED:]) or (in_words(self._clean),)
        return GateResult(Gate.APPROVAL, Verdict.PASSED, evidence=evidence, message=in_words(self._clean))

    def verdict(self, tip: Reading, now: datetime) -> tuple[GateResult, Approval | None]:
        """The gate's word on the file at the tip, and the approval if it passed; `now` is for the latter's record."""
        assert tip.declaration is not None
        result = self.word(tip)
        if result.verdict is not Verdict.PASSED:
            return result, None
        assert self._clean.commit is not None
        approval = Approval(
            environment=self._environment,
            commit=self._clean.commit,
            declaration=tip.digest,
            run_id=tip.declaration.run_id,
            sha256=tip.declaration.sha256,
            request=self._clean.request,
            approvers=self._clean.approvers,
            judged_at=now,
            _seal=_SEAL,
        )
        return result, approval

    def _goes_back(self, step: Step) -> bool:
        """Whether this step restores the exact content that was last let in, and so needs nobody's word."""
        if step.after is None or step.after.digest != self._clean.digest:
            return False
        return not (self._binding and differing(self._let_in, self._clean.fields))

    def _policies(self, step: Step) -> tuple[Policy, ...]:
        """What must be satisfied: the rules in force, the parent's, the floors, and a newcomer's where the place moves.

        Without the latter, an environment that asks nobody could be moved onto another one's place.
        """
        parent = self._before.document if self._before else None
        after = step.after.document if step.after else None
        place = after.place if after else None
        moves = place is not None and self._place not in (None, place)
        newcomer = (self._newcomer,) if moves else ()
        return (*self._clean.policies, *(parent.bars if parent else ()), *newcomer, *step.floors)

    @property
    def _place(self) -> object:
        return self._let_in.get(PLACE)

    def _judge(self, step: Step, evidence: Evidence | None) -> Granted | GateResult:
        if self._unread:
            return self._unread
        granted = Granted("", ())
        for policy in self._policies(step):
            word = ask(policy, step, evidence)
            if isinstance(word, GateResult):
                return word
            granted = word if word.request else granted
        return granted

    def _move(self, step: Step, word: Granted | GateResult) -> None:
        """Carry the taints over one change that is not a return to an accepted state."""
        after = step.after.document if step.after else None
        if after is None:
            self._unreadable(step, word)
            return
        fields = after.leaves()
        # Nobody was shown a difference to a file that can't be read: such a step lets nothing in. One that brings the
        # file back is shown as a whole, also in what it leaves out.
        parent = self._before.document if self._before else None
        blind = self._before is not None and parent is None
        touched = differing(fields, parent.leaves() if parent else self._let_in)
        hold = self._broken or (word if isinstance(word, GateResult) else None)
        if hold:
            self._taints |= dict.fromkeys(touched, hold)
            self._broken = None
        else:
            self._bind(after)
            if not blind:
                self._let_in |= {name: fields.get(name) for name in touched}
        self._taints = {name: word for name, word in self._taints.items() if fields.get(name) != self._let_in.get(name)}
        log = told(step, hold or word)
        if not self._taints:
            self._settle(self._state(step, after, word, hold), *log)
        elif not hold:
            self._log.extend(log)  # it let something in, though another field still waits

    def _bind(self, after: Governed) -> None:
        """A bar that was let in binds at once, also while another field still waits; a lower one only in the end."""
        policies = tuple(dict.fromkeys((*self._clean.policies, *after.bars)))
        self._clean = replace(self._clean, policies=policies)

    def _unreadable(self, step: Step, word: Granted | GateResult) -> None:
        """A commit that broke or removed the file: nothing in it counts, and nobody was shown its fields."""
        if isinstance(word, GateResult) and step.after is not None:
            self._broken = self._broken or word
        elif step.after is None:
            self._taints, self._broken = {}, None

    def _state(self, step: Step, after: Governed, word: Granted | GateResult, hold: GateResult | None) -> State:
        """The state after a step that left no taint. Only a granted step may have lowered the bar."""
        granted = isinstance(word, Granted) and hold is None
        bars = after.bars if granted else (*self._clean.policies, *after.bars)
        people = word if isinstance(word, Granted) else Granted(self._clean.request, self._clean.approvers)
        assert step.after is not None
        return State(
            fields=after.leaves(),
            digest=step.after.digest,
            policies=tuple(dict.fromkeys(bars)),
            commit=step.commit,
            request=people.request,
            approvers=people.approvers,
        )

    def _settle(self, state: State, *told: str) -> None:
        self._clean = state
        self._let_in = dict(state.fields)
        self._taints, self._broken, self._unread = {}, None, None
        self._log.extend(told)

    def _refusal(self) -> GateResult:
        if self._broken:
            return replace(self._broken, hint="revert the commit that broke the file; then have the change approved")
        if not self._taints:
            return refused(
                Reason.APPROVAL_MISSING,
                "the file at the tip is not what the judged commits left: a merge brought it in from the side",
                HOW,
            )
        hold = next(iter(self._taints.values()))
        names = "the whole file" if not self._clean.fields else ", ".join(sorted(self._taints))
        evidence = (*hold.evidence, f"unapproved so far: {names}")
        return replace(hold, evidence=evidence)


def standing(accepted: Accepted, declaration: Declaration, now: datetime) -> Approval:
    """The approval of what was accepted earlier, for repairing drift towards it.

    It can't be made for anything else: run and digest are those of the record on the target, and must be
    those of the declaration that it names.
    """
    if (declaration.run_id, declaration.sha256) != (accepted.run_id, accepted.sha256):
        raise ValueError("the accepted record and its declaration disagree")
    return Approval(
        environment=accepted.environment,
        commit=accepted.commit,
        declaration=accepted.declaration,
        run_id=accepted.run_id,
        sha256=accepted.sha256,
        request=accepted.request,
        approvers=accepted.approvers,
        judged_at=now,
        _seal=_SEAL,
    )
