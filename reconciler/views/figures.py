"""Deployments over time, and the four figures that DORA measures delivery by.

Deployment frequency, lead time for changes, change failure rate and time to restore, as https://dora.dev defines them:
here a change begins when CI built it, as that is where our knowledge begins. The arithmetic is in
`core.delivery_figures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from reconciler.core.delivery_figures import (
    Day,
    Spread,
    at_of,
    by_day,
    deployments,
    failure_rate,
    leads,
    restores,
    spread,
)
from reconciler.core.delivery_figures import Lead as LeadPoint
from reconciler.core.services import Service
from reconciler.model import Attempt, Digest, EnvironmentName, Outcome, RunId, Transition
from reconciler.views.attempts import clean_attempt
from reconciler.views.facts import Facts

__all__ = [
    "DAYS",
    "MOST",
    "Day",
    "Figures",
    "LeadPoint",
    "Spread",
    "Timeline",
    "TimelineQuery",
    "timeline",
]

DAYS = (7, 30, 90)
"""Spans that can be asked for."""
LONGEST = 366
"""Days of the longest span."""
MOST = 5_000
"""Attempts that are looked at; older ones are left out, and the page says so."""
EACH = 50
"""Services, or environments, with figures of their own: those with the most deployments."""
LEADS = 500
LATEST = 50
_PAGE = 500
"""Attempts that are read at once."""
_FEW = 20
"""Up to so many environments are asked for one by one."""
_CARRIED_OUT = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one environment, one service, or all."""

    title: str
    """The name; `all environments`."""
    deployments: int
    per_day: float
    lead: Spread | None
    """From CI's run to live here. None: no run's time is remembered."""
    failure_rate: float | None
    """Of deployments that succeeded or failed, the part that failed or was rolled back; None: there were none."""
    restore: Spread | None
    """From Degraded, or a failed deployment, to Healthy again; None: never."""
    daily: tuple[int, ...] = ()
    """Deployments of each day of the span, oldest first."""


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """What somebody wants to see."""

    scope: str = ""
    """An environment, or a service; empty: all."""
    days: int = 30


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page of it."""

    query: TimelineQuery
    total: Figures
    each: tuple[Figures, ...]
    """Per service, or per environment of the service or chain that was asked for; at most `EACH`, by name."""
    days: tuple[Day, ...]
    """Every day of the span, oldest first."""
    leads: tuple[LeadPoint, ...]
    """At most `LEADS`, the newest; oldest first."""
    latest: tuple[Attempt, ...]
    """The newest `LATEST` attempts that were carried out, newest first; without output, and without gates."""
    cut: bool
    """There were more than `MOST`."""
    as_of: datetime
    problem: str = ""
    """Why there is nothing to show, for people; empty when that is not so."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What was asked for."""

    title: str
    names: Collection[EnvironmentName] | None
    """None: all."""
    parts: tuple[tuple[str, Collection[EnvironmentName]], ...]
    """What has figures of its own."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What happened in the span, to all that was asked for."""

    attempts: tuple[Attempt, ...]
    changes: tuple[Transition, ...]
    leads: tuple[LeadPoint, ...]
    first: date
    days: int

    def figures(self, title: str, names: Collection[EnvironmentName] | None) -> Figures:
        """Of some of them; None: of all."""
        if names is None:
            attempts, changes, points = self.attempts, self.changes, self.leads
        else:
            attempts = tuple(one for one in self.attempts if one.environment in names)
            changes = tuple(one for one in self.changes if one.environment in names)
            points = tuple(one for one in self.leads if one.environment in names)
        count = deployments(attempts)
        last = self.first + timedelta(days=self.days - 1)
        return Figures(
            title=title,
            deployments=count,
            per_day=count / self.days,
            lead=spread(point.lead.total_seconds() for point in points),
            failure_rate=failure_rate(attempts),
            restore=spread(restores(attempts, changes)),
            daily=tuple(day.deployed for day in by_day(attempts, self.first, last)),
        )


def timeline(facts: Facts, query: TimelineQuery) -> Timeline:
    """Deployments of the last days.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    now = facts.clock.now()
    days = min(max(query.days, 1), LONGEST)
    first = now.astimezone(UTC).date() - timedelta(days=days - 1)
    since = datetime.combine(first, time(), UTC)
    scope = _scope(facts, query.scope)
    attempts, cut = _attempts(facts, scope.names, since)
    changes = tuple(one for one in _changes(facts, scope.names) if one.at >= since)
    past = _Past(attempts, changes, leads(attempts, _built(facts, attempts)), first, days)
    carried_out = (one for one in attempts if one.outcome in _CARRIED_OUT)
    return Timeline(
        query=TimelineQuery(query.scope, days),
        total=past.figures(scope.title, scope.names),
        each=_each(past, scope),
        days=by_day(attempts, first, now.astimezone(UTC).date()),
        leads=tuple(sorted(past.leads, key=lambda point: point.at))[-LEADS:],
        latest=tuple(map(clean_attempt, islice(carried_out, LATEST))),
        cut=cut,
        as_of=now,
        problem="" if scope.names is None or scope.names else "there is no such environment or service",
    )


def _scope(facts: Facts, text: str) -> _Scope:
    others = frozenset(facts.statuses().keys() - set(facts.catalog.environments))
    services = facts.recall.services(facts.catalog, others)
    if not text:
        return _Scope("all environments", None, tuple((one.name, frozenset(one.members)) for one in services))
    for service in services:
        if service.name == text:
            return _Scope(text, frozenset(service.members), _members(service))
        if text in service.members:
            return _Scope(text, frozenset({EnvironmentName(text)}), _members(service))
    return _Scope(text[:200], frozenset(), ())


def _members(service: Service) -> tuple[tuple[str, Collection[EnvironmentName]], ...]:
    return tuple((str(name), frozenset({name})) for name in service.members)


def _attempts(
    facts: Facts, names: Collection[EnvironmentName] | None, since: datetime
) -> tuple[tuple[Attempt, ...], bool]:
    """Those that ended since, newest first, and whether there are more."""
    if names is None or len(names) > _FEW:
        found, cut = _paged(facts, None, since)
        return tuple(one for one in found if names is None or one.environment in names), cut
    each = [_paged(facts, name, since) for name in names]
    every = sorted((one for found, _ in each for one in found), key=lambda one: one.id or 0, reverse=True)
    return tuple(every[:MOST]), len(every) > MOST or any(cut for _, cut in each)


def _paged(facts: Facts, name: EnvironmentName | None, since: datetime) -> tuple[Sequence[Attempt], bool]:
    found: list[Attempt] = []
    before: int | None = None
    while len(found) <= MOST:
        page = facts.store.attempts_in_short(name, _PAGE, before)
        found += [one for one in page if at_of(one) >= since]
        if len(page) < _PAGE or page[-1].started < since:
            return found[:MOST], len(found) > MOST
        before = page[-1].id
    return found[:MOST], True


def _changes(facts: Facts, names: Collection[EnvironmentName] | None) -> Sequence[Transition]:
    if names is None or len(names) > _FEW:
        every = facts.store.transitions(limit=MOST)
        return [one for one in every if names is None or one.environment in names]
    return [one for name in names for one in facts.store.transitions(name)]


def _built(facts: Facts, attempts: Sequence[Attempt]) -> dict[tuple[RunId, Digest], datetime]:
    """When CI began the runs of those that succeeded, as it was remembered with their artifacts."""
    wanted = {one.declared.run_id for one in attempts if one.outcome is Outcome.SUCCEEDED and one.declared.run_id}
    newest = sorted(wanted, reverse=True)[:LEADS]
    return {
        (run_id, artifact.sha256): run.created
        for run_id, runs in facts.store.runs(newest).items()
        for run in runs.values()
        for artifact in run.artifacts
        if artifact.sha256
    }


def _each(past: _Past, scope: _Scope) -> tuple[Figures, ...]:
    active = Counter(one.environment for one in past.attempts)
    counted = [(sum(active[name] for name in names), title, names) for title, names in scope.parts]
    chosen = sorted((one for one in counted if one[0]), key=lambda one: -one[0])[:EACH]
    return tuple(past.figures(title, names) for _, title, names in sorted(chosen, key=lambda one: one[1]))
