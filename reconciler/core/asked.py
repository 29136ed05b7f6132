"""Who is asked to let a change in, in words: for whoever wants to know before it is merged."""

from __future__ import annotations

from reconciler.core.declare import ApprovalSpec
from reconciler.core.policy import Policy
from reconciler.model import Gate, GateResult, Verdict


def pending(policies: tuple[Policy, ...]) -> GateResult:
    """What a merge must bring to be let in: a word that waits, unless nobody is asked."""
    asked = [policy for policy in policies if policy != "none"]
    if not asked:
        return GateResult(Gate.APPROVAL, Verdict.PASSED, message="nobody is asked", evidence=("nobody is asked",))
    words = tuple(_in_words(policy) for policy in asked)
    return GateResult(Gate.APPROVAL, Verdict.PENDING, message="; and ".join(words), evidence=words)


def _in_words(policy: ApprovalSpec) -> str:
    people = "person" if policy.required == 1 else "people"
    who = f"of {', '.join(policy.from_)}" if policy.from_ else "who may write to the repository"
    hand = "an author may be among them" if policy.allow_self else "no author among them"
    return f"{policy.required} {people} {who}, {hand}"
