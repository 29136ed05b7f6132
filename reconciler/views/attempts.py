"""One attempt as it is shown: what it followed, its stages, and its texts fit to stand among others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from reconciler.core.readable import block, plain
from reconciler.model import Attempt, GateResult, Outcome
from reconciler.views.cards import NAME, SENTENCE, people
from reconciler.views.facts import Facts
from reconciler.views.recall import Titles

EVIDENCE = 50
"""Pieces of evidence of one gate that are shown."""
OUTPUT = 16 * 1024
"""Characters of what an activation printed."""

STAGES = ("fetch", "verify", "release", "switch", "activate", "health")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of an attempt: `fetch`, `verify`, `release`, `switch`, `activate`, `health`."""

    name: str
    took: timedelta | None
    """None: not known."""
    done: bool
    """Whether it came about; of the stages that an attempt had, only the last one may not have."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt, as it is shown."""

    attempt: Attempt
    """Its texts are bounded, and without control characters."""
    title: str
    """Of the change that it followed."""
    request_url: str
    commit_url: str
    stages: tuple[Stage, ...]
    """Those that it had; empty where nothing was timed."""


def tried_of(facts: Facts, attempt: Attempt, titles: Titles) -> Tried:
    """One attempt, as it is shown."""
    commit = attempt.declared.commit
    return Tried(
        attempt=clean_attempt(attempt),
        title=titles.of(commit),
        request_url=facts.links.request(attempt.request) if attempt.request else "",
        commit_url=facts.links.commit(commit) if commit else "",
        stages=_stages(attempt),
    )


def clean_attempt(attempt: Attempt) -> Attempt:
    """An attempt with its texts bounded, and without control characters."""
    return replace(
        attempt,
        request=plain(attempt.request, NAME),
        approvers=people(attempt.approvers),
        message=plain(attempt.message, SENTENCE),
        output=block(attempt.output, OUTPUT),
        gates=tuple(map(clean_word, attempt.gates)),
    )


def _stages(attempt: Attempt) -> tuple[Stage, ...]:
    """In their order. One that failed did so at the last of those that it came to."""
    took = {one.stage: one.seconds for one in attempt.stages}
    reached = [name for name in STAGES if name in took]
    failed = attempt.outcome is Outcome.FAILED
    return tuple(
        Stage(name, timedelta(seconds=took[name]), done=not (failed and name == reached[-1])) for name in reached
    )


def clean_word(word: GateResult) -> GateResult:
    """One gate's word with its texts bounded, and without control characters."""
    return replace(
        word,
        message=plain(word.message, SENTENCE),
        hint=plain(word.hint, SENTENCE),
        evidence=tuple(plain(one, SENTENCE) for one in word.evidence[:EVIDENCE]),
    )
