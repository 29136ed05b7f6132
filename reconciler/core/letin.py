"""What people had let in at some point of a file's history: the judge's notes, which decide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.policy import Granted, Policy, Step, Version
from reconciler.model import CommitId, Digest, GateResult


@dataclass(frozen=True, slots=True)
class State:
    """The last state of the file that was let in as a whole: what later changes are measured against."""

    fields: Mapping[str, object]
    digest: Digest | None
    policies: tuple[Policy, ...]
    commit: CommitId | None
    request: str = ""
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a judge stood before a change that went back to what was let in."""

    clean: State
    before: Version | None
    let_in: Mapping[str, object]
    taints: Mapping[str, GateResult]
    broken: GateResult | None
    unread: GateResult | None


def told(step: Step, word: Granted | GateResult) -> tuple[str, ...]:
    """What came of one change, for the record."""
    short = step.commit[:12]
    if isinstance(word, GateResult):
        return (f"{short} changed no field",)
    if not word.request:
        return (f"{short} needed no approval",)
    return (f"{short}: {word.request}, approved by {', '.join(word.approvers)}", *word.evidence)


def in_words(state: State) -> str:
    """Who let a state in, in one line."""
    short = (state.commit or "")[:12]
    if state.approvers:
        return f"{state.request or short}, approved by {', '.join(state.approvers)}"
    return f"{state.request or short}, no approval needed"


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> set[str]:
    """The fields that are not the same."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}
