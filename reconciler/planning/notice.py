"""What is told on a pull request: a plan, or why there is none; and what of it is worth telling again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.core.plandoc import ChangePlan, EnvironmentPlan
from reconciler.core.readable import ARROW, escape, short
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, Digest, EnvironmentName, GateResult, OpenRequest, PlanNotice, Verdict
from reconciler.planning import words
from reconciler.planning.markdown import code, comment, prose

SUMMARY = 140
"""Characters of the one line. Origin: what GitHub takes as the description of a commit status."""
_STEP_MINUTES = 10
"""By so much the time at which a gate may pass can shift before that is told again: soaking is measured, not set."""
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def of_plan(request: OpenRequest, plan: ChangePlan) -> PlanNotice:
    """The plan as it is told on the request; a request that concerns nothing is not commented on for that."""
    return PlanNotice(
        number=request.number,
        head=plan.head,
        body=comment(plan),
        refused=plan.refused,
        summary=_line(_answer(plan)),
        quiet=concerns_nothing(plan),
    )


def of_trouble(request: OpenRequest, branch: str, error: ReconcilerError) -> PlanNotice:
    """Why there is no plan, in words."""
    lines = [
        f"<!-- reconciler-plan head={request.head} -->",
        "## Plan: nobody can tell now what merging this does",
        "",
        f"Head {code(short(request.head))} into {code(branch)}. Nothing is let in by that, and nothing is changed.",
        "",
        f"> ⛔ {prose(f'{error.reason}: {error.message}')}",
        *([">", f"> {ARROW} {prose(error.hint)}"] if error.hint else []),
        "",
        "It is planned anew when this request or the branch moves.",
        "",
    ]
    summary = _line(f"{error.reason}: {error.message}")
    return PlanNotice(request.number, request.head, "\n".join(lines), refused=True, summary=summary, broken=True)


def concerns_nothing(plan: ChangePlan) -> bool:
    """Whether merging it is no business of any environment's, nor of the rules that are common to them."""
    return not (plan.environments or plan.concerned or plan.policy or plan.problems)


def content(plan: ChangePlan) -> Digest:
    """Of what a plan says, but for what only time changes: when it was made, at which tip, how long something soaked.

    A plan of the same content need not be told again, although another moment would stand in it.
    """
    still = replace(
        plan,
        as_of=_NO_TIME,
        base=CommitId(""),
        environments=tuple(replace(one, gates=_still(one.gates)) for one in plan.environments),
        concerned=tuple(replace(one, held=_still(one.held)) for one in plan.concerned),
    )
    return Digest(hashlib.sha256(comment(still).encode()).hexdigest())


def content_of(notice: PlanNotice) -> Digest:
    """Of a notice without a plan."""
    return Digest(hashlib.sha256(notice.body.encode()).hexdigest())


def _still(gates: Iterable[GateResult]) -> tuple[GateResult, ...]:
    return tuple(_at_rest(word) for word in gates)


def _at_rest(word: GateResult) -> GateResult:
    """A gate's word without its evidence; where time decides, also without the words that name the time."""
    at = word.not_before
    if at is None:
        return replace(word, evidence=())
    at = at.replace(minute=at.minute - at.minute % _STEP_MINUTES, second=0, microsecond=0)
    return replace(word, message="", evidence=(), not_before=at)


def not_before(plan: ChangePlan) -> datetime | None:
    """The next time at which a gate that holds may pass, so that the plan says something else."""
    return min((word.not_before for word in held(plan) if word.not_before), default=None)


def held(plan: ChangePlan) -> tuple[GateResult, ...]:
    """Every word of a gate that holds something of it."""
    return tuple(word for _, word in _held(plan))


def artifacts(plan: ChangePlan) -> tuple[Digest, ...]:
    """What it would deploy, once each."""
    wanted = (one.wanted.sha256 for one in plan.environments if one.wanted)
    return tuple(dict.fromkeys(digest for digest in wanted if digest))


# --- the one line ---------------------------------------------------------------------------------


def _answer(plan: ChangePlan) -> str:
    if plan.rewritten:
        return words.rewritten(plan)
    if plan.policy and plan.policy.problems:
        return f"the policy can't be read: {plan.policy.problems[0]}"
    if stops := _held(plan):
        (name, word), *others = stops
        return f"{name}: {word.reason}: {word.message}" + (f" (and {len(others)} more)" if others else "")
    if len(plan.environments) == 1 and not plan.concerned:
        (one,) = plan.environments
        return f"{one.environment}: {words.title(one)}{_waits(one)}"
    return words.verdict(plan)


def _held(plan: ChangePlan) -> list[tuple[EnvironmentName, GateResult]]:
    own = [(one.environment, word) for one in plan.environments for word in one.held]
    return own + [(one.environment, word) for one in plan.concerned for word in one.held]


def _waits(one: EnvironmentPlan) -> str:
    return "; waits for approval" if any(word.verdict is Verdict.PENDING for word in one.gates) else ""


def _line(text: str) -> str:
    clean = escape(text)
    return clean if len(clean) <= SUMMARY else clean[: SUMMARY - 1] + "…"
