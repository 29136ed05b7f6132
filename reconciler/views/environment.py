"""One environment: what is live and the proof of it, what holds and why, its history, and the way on or back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.core.declare import FOLDER, Declaration
from reconciler.core.readable import block, escape, plain
from reconciler.errors import ReconcilerError
from reconciler.model import (
    Action,
    Attempt,
    Drift,
    EnvironmentName,
    GateResult,
    OperatorHand,
    Outcome,
    Readiness,
    Soak,
    Status,
)
from reconciler.views.attempts import EVIDENCE, OUTPUT, Tried, clean_word, tried_of
from reconciler.views.audited import outcome_of
from reconciler.views.cards import NAME, RECENT, SENTENCE, Card, card_of, shown_upto, unseen
from reconciler.views.chain import Evidence, Link, accepted_file, chain
from reconciler.views.facts import Facts
from reconciler.views.moves import Move, Stand, moves
from reconciler.views.recall import Titles

ATTEMPTS = 20
"""Attempts on one page of the history."""
PATHS = 500
"""Drifted paths that are shown."""
WAITERS = 100
"""Environments that are named of those that promote from one."""
_BRINGS = frozenset({Action.DEPLOY, Action.ROLLBACK, Action.ACCEPT})


@dataclass(frozen=True, slots=True)
class EnvironmentPage:
    """All that is known of one."""

    card: Card
    status: Status
    """As it is remembered; its words are on the card and in `gates`, bounded and without control characters."""
    hand: OperatorHand
    declaration: Declaration | None
    """As it stands at the tip; None: it can't be read, or is gone."""
    file: str
    file_url: str
    problems: tuple[str, ...]
    """Why the file can't be read, or can't be followed."""
    chain: tuple[Link, ...]
    """Empty where nothing is live."""
    gates: tuple[GateResult, ...]
    drift: tuple[Drift, ...]
    more_drift: int
    """Paths that were left out."""
    rollback: Readiness | None
    soak: Soak | None
    """Its unbroken healthy time, where others promote from it."""
    before: tuple[EnvironmentName, ...]
    """The environments that it promotes from."""
    after: tuple[EnvironmentName, ...]
    """Those that promote from it."""
    more_after: int
    """Of these, how many were left out."""
    moves: tuple[Move, ...]
    history: tuple[Tried, ...]
    older: int | None
    """The attempt before which the next page of the history begins; None: there is none."""
    output: str
    """What the last activation printed; empty: nothing. May have several lines."""
    as_of: datetime
    last_event: int


def environment_page(facts: Facts, name: EnvironmentName, before: int | None = None) -> EnvironmentPage | None:
    """One environment, its history from the attempt before `before` on; None: nobody knows such a one.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    recent = facts.store.transitions(limit=RECENT)
    statuses = facts.statuses()
    declared = facts.catalog.tip is not None and name in facts.catalog.environments
    if name not in statuses and not declared:
        return None
    status = statuses.get(name) or unseen(name, facts.catalog.tip)
    hand, titles = facts.store.hand(name), Titles(facts.recall, facts.repository)
    path, declaration, problems = _file(facts, name)
    newest = facts.store.attempts(name, ATTEMPTS + 1)
    history = newest if before is None else facts.store.attempts(name, ATTEMPTS + 1, before)
    edit = facts.links.edit(f"{FOLDER}/{path}") if declared else ""
    upstreams, waiters = facts.catalog.upstreams(name), facts.catalog.waiters(name)
    output = next((one.output for one in newest if one.output), "")
    return EnvironmentPage(
        card=card_of(facts, status, hand, statuses, titles),
        status=status,
        hand=hand,
        declaration=declaration,
        file=f"{FOLDER}/{path}",
        file_url=edit,
        problems=problems,
        chain=_chain(facts, status, path, newest),
        gates=tuple(map(clean_word, status.gates)),
        drift=tuple(map(_clean_drift, status.drift[:PATHS])),
        more_drift=max(0, len(status.drift) - PATHS),
        rollback=replace(status.rollback, why=plain(status.rollback.why, SENTENCE)) if status.rollback else None,
        soak=facts.store.soak(name) if waiters else None,
        before=upstreams,
        after=waiters[:WAITERS],
        more_after=max(0, len(waiters) - WAITERS),
        moves=moves(facts, Stand(status, hand, declaration, statuses, edit)),
        history=tuple(tried_of(facts, one, titles) for one in history[:ATTEMPTS]),
        older=history[ATTEMPTS - 1].id if len(history) > ATTEMPTS else None,
        output=block(output, OUTPUT),
        as_of=facts.clock.now(),
        last_event=shown_upto(recent, statuses),
    )


def _file(facts: Facts, name: EnvironmentName) -> tuple[str, Declaration | None, tuple[str, ...]]:
    """Where the file is, what it says at the tip, and why that can't be followed."""
    if facts.catalog.tip is None:
        return f"{name}.yaml", None, ()
    file = facts.catalog.get(name)
    problems = [f"it declares a place that {', '.join(file.rivals[:5])} declares too"] if file.rivals else []
    problems += [file.upstream_problem] if file.upstream_problem else []
    try:
        reading = file.reading
        declaration = reading.declaration if reading else None
        problems += [str(problem) for problem in reading.problems[:EVIDENCE]] if reading else ["the file is gone"]
    except ReconcilerError as error:
        declaration = None
        problems.append(error.message)
    return file.path, declaration, tuple(plain(problem, SENTENCE) for problem in problems)


def _chain(facts: Facts, status: Status, path: str, attempts: tuple[Attempt, ...]) -> tuple[Link, ...]:
    live = status.live
    if live is None:
        return ()
    accepted = facts.store.accepted(status.environment)
    reading = accepted_file(facts, path, accepted.commit) if accepted else None
    brought = next((one for one in attempts if _brought(one, status)), None)
    entry = _entry(facts, brought) if brought else None
    return chain(facts, Evidence(status, live, accepted, reading, brought, entry))


def _entry(facts: Facts, ended: Attempt) -> int | None:
    return facts.recall.entries.get((ended.id, ended.started), lambda: outcome_of(facts.store, ended))


def _brought(attempt: Attempt, status: Status) -> bool:
    live, declared = status.live, attempt.declared
    same = live is not None and (declared.run_id, declared.sha256) == (live.run_id, live.sha256)
    return same and attempt.action in _BRINGS and attempt.outcome is Outcome.SUCCEEDED


def _clean_drift(drift: Drift) -> Drift:
    """Of a path nothing may be left out, or it could be taken for another."""
    found = replace(drift, expected=plain(drift.expected, NAME), found=plain(drift.found, NAME))
    return replace(found, path=plain_path(drift.path))


def plain_path(path: str) -> str:
    """A path of an artifact or a target: what hides in it is spelled out, and stays."""
    return escape(path[:4_096])
