"""The four figures that DORA measures delivery by, out of attempts and changes of state. Pure arithmetic.

As https://dora.dev defines them. A deployment is an attempt to bring a declared run; a change begins when CI built it,
as that is where our knowledge begins. A rollback is no deployment: it says that the one that it replaces failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from reconciler.errors import DID_NOT_RUN
from reconciler.model import Action, Attempt, Digest, EnvironmentName, Health, Outcome, RunId, Transition

Built = Mapping[tuple[RunId, Digest], datetime]
"""When CI began the run that an artifact is of."""

_MENDS = frozenset({Action.DEPLOY, Action.ROLLBACK, Action.REPAIR, Action.ACTIVATE})
"""What brings back what was broken, when it succeeds."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day, in UTC."""

    day: date
    deployed: int = 0
    """Deployments that succeeded."""
    failed: int = 0
    rolled_back: int = 0
    """Rollbacks that succeeded, by themselves and by people."""
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Several durations; in seconds."""

    median: float
    p90: float
    """Nine in ten took no longer."""
    count: int


@dataclass(frozen=True, slots=True)
class Lead:
    """How long one change took from CI to where it is live."""

    at: datetime
    environment: EnvironmentName
    lead: timedelta


def at_of(attempt: Attempt) -> datetime:
    """When it counts: at its end, where it has one."""
    return attempt.finished or attempt.started


def by_day(attempts: Iterable[Attempt], since: date, until: date) -> tuple[Day, ...]:
    """Every day from one to another, both counted, oldest first."""
    counts = {since + timedelta(days=n): [0, 0, 0, 0] for n in range((until - since).days + 1)}
    for attempt in attempts:
        column = _column(attempt)
        row = counts.get(at_of(attempt).astimezone(UTC).date())
        if row is not None and column is not None:
            row[column] += 1
    return tuple(Day(day, *row) for day, row in counts.items())


def _column(attempt: Attempt) -> int | None:
    match attempt.action, attempt.outcome:
        case Action.DEPLOY, Outcome.SUCCEEDED:
            return 0
        case Action.DEPLOY, Outcome.FAILED:
            return 1
        case Action.ROLLBACK, Outcome.SUCCEEDED:
            return 2
        case _, Outcome.REFUSED:
            return 3
    return None


def deployments(attempts: Iterable[Attempt]) -> int:
    """How many succeeded."""
    return sum(_column(attempt) == 0 for attempt in attempts)


def failure_rate(attempts: Sequence[Attempt]) -> float | None:
    """Of deployments that succeeded or failed, the part that failed or was rolled back; None: there were none.

    Args:
        attempts: In any order. A rollback of a deployment that is not among them counts for nothing.
    """
    ended = {one.id: one for one in attempts if _column(one) in (0, 1)}
    bad = {number for number, one in ended.items() if one.outcome is Outcome.FAILED}
    latest: dict[tuple[EnvironmentName, RunId | None, Digest | None], int | None] = {}
    for one in sorted(attempts, key=lambda one: one.id or 0):
        if one.id in ended:
            latest[one.environment, one.declared.run_id, one.declared.sha256] = one.id
        elif _column(one) == 2 and one.before is not None:
            key = (one.environment, one.before.run_id, one.before.sha256)
            bad.add(latest.pop(key, None))
    return len(bad & ended.keys()) / len(ended) if ended else None


def leads(attempts: Iterable[Attempt], built: Built) -> tuple[Lead, ...]:
    """Lead times of deployments that succeeded, oldest first; of an artifact that came again, the first time alone."""
    found: dict[tuple[EnvironmentName, Digest], Lead] = {}
    for one in sorted(attempts, key=lambda one: one.id or 0):
        run, sha256 = one.declared.run_id, one.declared.sha256
        if _column(one) != 0 or run is None or sha256 is None or (run, sha256) not in built:
            continue
        took = at_of(one) - built[run, sha256]
        if took >= timedelta(0):  # else one of the two clocks is wrong
            found.setdefault((one.environment, sha256), Lead(at_of(one), one.environment, took))
    return tuple(found.values())


def restores(attempts: Iterable[Attempt], changes: Iterable[Transition]) -> tuple[float, ...]:
    """Seconds from what broke what was live to when it was healthy again, for each time that it was.

    After a rollback an environment stays Degraded until something else is declared, although what is live is well: that
    state tells of what failed, and is no break of its own.
    """
    events: list[tuple[datetime, int, int, Attempt | Transition]] = []
    events += [(at_of(one), 0, one.id or 0, one) for one in attempts]
    events += [(one.at, 1, one.id, one) for one in changes]
    broken: dict[EnvironmentName, datetime] = {}
    back: set[EnvironmentName] = set()
    found: list[float] = []
    for at, _, _, event in sorted(events, key=lambda event: event[:3]):
        name = event.environment
        ends = isinstance(event, Attempt) and event.action in _MENDS and event.outcome is Outcome.SUCCEEDED
        if isinstance(event, Attempt):
            back = back | {name} if ends and event.action is Action.ROLLBACK else back - {name}
        if (ends or _healthy(event)) and name in broken:
            found.append((at - broken.pop(name)).total_seconds())
        elif _breaks(event, came_back=name in back):
            broken.setdefault(name, at)
    return tuple(found)


def _healthy(event: Attempt | Transition) -> bool:
    return isinstance(event, Transition) and event.health is Health.HEALTHY


def _breaks(event: Attempt | Transition, *, came_back: bool) -> bool:
    if isinstance(event, Attempt):
        return event.outcome is Outcome.FAILED and event.reason in DID_NOT_RUN
    return event.health is Health.DEGRADED and not (came_back and event.reason in DID_NOT_RUN)


def spread(seconds: Iterable[float]) -> Spread | None:
    """Of several durations; None: there are none."""
    row = sorted(seconds)
    if not row:
        return None
    middle = len(row) // 2
    median = row[middle] if len(row) % 2 else (row[middle - 1] + row[middle]) / 2
    return Spread(median, row[-(-9 * len(row) // 10) - 1], len(row))
