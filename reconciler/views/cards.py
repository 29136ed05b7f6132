"""One environment in short: as a card on the board, and at the head of its own page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.readable import plain
from reconciler.core.services import stage_of
from reconciler.errors import Reason
from reconciler.model import (
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Health,
    OperatorHand,
    RunId,
    Status,
    Sync,
    Transition,
    Verdict,
)
from reconciler.views.facts import Facts
from reconciler.views.recall import Titles
from reconciler.views.states import State, state_of

SENTENCE = 1_000
"""Characters of a message or a hint that are shown."""
NAME = 200
"""Characters of a person's name, or of a request's."""
APPROVERS = 20
RECENT = 64
"""Changes of state that may be in the store already and not in memory yet: as many passes may be under way."""

NOTHING_ASKED = OperatorHand()


@dataclass(frozen=True, slots=True)
class Card:
    """One environment on the board. Its texts are one line each, of bounded length, without control characters."""

    name: EnvironmentName
    stage: str
    """The last part of its name: what tells it from the others of its service."""
    state: State
    sync: Sync
    health: Health
    run: RunId | None
    """What is live; None: nothing was ever deployed."""
    sha256: Digest | None
    declared: RunId | None
    """What is declared, where that is not what is live."""
    title: str
    """Of the change that brought what is live: one line, as somebody wrote it. Empty where nobody can tell."""
    approvers: tuple[str, ...]
    request: str
    request_url: str
    live_since: datetime | None
    since: datetime | None
    """When it began to stand as it does."""
    reason: Reason | None
    message: str
    hint: str
    not_before: datetime | None
    """When the gate that holds can open at the earliest."""
    behind: int | None
    """Runs that were live in an environment before it since the one that is live here; None: nobody can tell."""
    suspended: str
    """Who suspended it and why; empty: nobody did."""


def unseen(name: EnvironmentName, tip: CommitId | None) -> Status:
    """Of an environment that no pass has looked at yet."""
    told = "no pass has looked at it yet"
    return Status(name, Sync.UNKNOWN, Health.UNKNOWN, None, told, "", Declared(tip), None, None, ())


def card_of(
    facts: Facts, status: Status, hand: OperatorHand, statuses: Mapping[EnvironmentName, Status], titles: Titles
) -> Card:
    """One card.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    live, declared = status.live, status.declared
    same = live is not None and (live.run_id, live.sha256) == (declared.run_id, declared.sha256)
    held = next((word for word in status.gates if word.verdict is Verdict.HELD), None)
    return Card(
        name=status.environment,
        stage=stage_of(status.environment),
        state=state_of(status, hand),
        sync=status.sync,
        health=status.health,
        run=live.run_id if live else None,
        sha256=live.sha256 if live else None,
        declared=None if same else declared.run_id,
        title=titles.of(came_by(facts, status)),
        approvers=people(status.approvers),
        request=plain(status.request, NAME),
        request_url=facts.links.request(status.request) if status.request else "",
        live_since=status.live_since,
        since=status.since,
        reason=status.reason,
        message=plain(status.message, SENTENCE),
        hint=plain(status.hint, SENTENCE),
        not_before=held.not_before if held else None,
        behind=_behind(facts, status, statuses),
        suspended=_suspended(hand),
    )


def people(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of people, a few of them."""
    return tuple(plain(name, NAME) for name in names[:APPROVERS])


def came_by(facts: Facts, status: Status) -> CommitId | None:
    """The commit that let in what is live; None: nothing is, or nobody can tell.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    if status.live is None:
        return None
    if status.sync is Sync.SYNCED:
        return status.declared.commit
    accepted = facts.store.accepted(status.environment)
    return accepted.commit if accepted else None


def shown_upto(recent: tuple[Transition, ...], statuses: Mapping[EnvironmentName, Status]) -> int:
    """The newest change of state that these show, where no older one is missing.

    A pass tells the store first and memory then; a page that is made in between must not say that it shows what it
    does not, or nobody would look again.

    Args:
        recent: The newest changes, oldest first, read before the statuses were.
        statuses: As in memory.
    """
    newest = {one.environment: one for one in recent}
    missing = [one.id for name, one in newest.items() if name in statuses and not _shows(statuses[name], one)]
    return min(missing) - 1 if missing else max((one.id for one in recent), default=0)


def _shows(status: Status, change: Transition) -> bool:
    live = status.live.id if status.live else ""
    stands = status.sync, status.health, status.reason, live
    return stands == (change.sync, change.health, change.reason, change.live)


def _suspended(hand: OperatorHand) -> str:
    if not hand.suspended:
        return ""
    return plain(": ".join(filter(None, (hand.by or "the operator", hand.reason))), SENTENCE)


def _behind(facts: Facts, status: Status, statuses: Mapping[EnvironmentName, Status]) -> int | None:
    """The most that it is behind one of those before it."""
    if status.live is None:
        return None
    known = (statuses.get(name) for name in facts.catalog.upstreams(status.environment))
    found = [_behind_one(facts, status.live.sha256, one) for one in known if one is not None and one.live is not None]
    told = [number for number in found if number is not None]
    return max(told) if told else None


def _behind_one(facts: Facts, sha256: Digest, upstream: Status) -> int | None:
    if upstream.live and upstream.live.sha256 == sha256:
        return 0
    since = set[Digest | None]()
    for one in facts.recall.lineage(facts.store, upstream):
        if one.sha256 == sha256:
            return len(since)
        since.add(one.sha256)
    return None
