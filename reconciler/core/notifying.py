"""Who is told what, and when. Pure: where an environment stands and what was told go in, what is due comes out.

Level-based, like a pass: nothing is queued. What is due follows from where environments stand now and from what was
told last, so what came and went while a channel was away is never told, and nothing is told twice.

Three things keep people from being flooded. The same is told again after `Route.repeat` at the soonest. What changes
to and fro must have lasted longer and longer to be told of. And a route sends so many messages an hour: what is due
beyond that waits, and is told as one digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from reconciler.core.policyfile import covers
from reconciler.errors import DID_NOT_RUN, Reason
from reconciler.model import EnvironmentName, Health, Notice, NoticeKind, Status, Sync, ToldNotice, ToldRoute

USUAL = (
    NoticeKind.FAILED,
    NoticeKind.DRIFTED,
    NoticeKind.DEGRADED,
    NoticeKind.STUCK,
    NoticeKind.HELD,
    NoticeKind.RECOVERED,
)
"""What a route tells unless it says otherwise: what somebody has to look at, and when it is over."""
APART = 3
"""Messages that are sent one by one; what is due beyond so many at once becomes one digest."""
BURST = 5
"""Messages that may follow each other at once, after a calm."""
PATIENCE = timedelta(minutes=5)
"""How long something must be out of reach to be told of: most outages are over before anybody could act."""
FIRST_WAIT = timedelta(minutes=1)
"""How long the third change in a row must have lasted to be told of; doubled for each further one."""
LONGEST_WAIT = timedelta(minutes=15)
"""How long it must have lasted at most."""
FORGOTTEN = timedelta(days=1)
"""What was told of an environment that is gone is remembered for so long."""

_FREE = 2
"""Changes in a row that are told at once: that something is the case, and that it is over."""
_EVER = datetime.min.replace(tzinfo=UTC)
_MEANT = frozenset({Reason.SOAKING, Reason.FROZEN, Reason.SUSPENDED})
_AWAY = frozenset(
    {
        *(Reason.FORGE_UNAVAILABLE, Reason.SOURCE_UNAVAILABLE, Reason.CUSTODY_UNAVAILABLE, Reason.TARGET_UNAVAILABLE),
        *(Reason.REPOSITORY_UNAVAILABLE, Reason.STORE_UNAVAILABLE),
    }
)
_EVENTS = frozenset({NoticeKind.DEPLOYED, NoticeKind.RECOVERED})


@dataclass(frozen=True, slots=True)
class Route:
    """Of which environments what is told."""

    name: str
    environments: tuple[str, ...]
    """Patterns of names; `*` stands for anything."""
    kinds: frozenset[NoticeKind]
    repeat: timedelta
    """After which time the same is told again."""
    hourly: int
    """Most messages an hour, after the first `BURST`."""

    def covers(self, environment: EnvironmentName) -> bool:
        """Whether an environment is told of here."""
        return covers(self.environments, environment)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told, and from when on, if nothing changes before."""

    at: datetime
    notice: Notice


def kinds(status: Status) -> tuple[NoticeKind, ...]:
    """All that an environment is, of what can be told, in the order of `NoticeKind`."""
    found = {
        NoticeKind.FAILED: status.reason in DID_NOT_RUN and status.sync is not Sync.SYNCED,
        NoticeKind.DRIFTED: bool(status.drift),
        NoticeKind.DEGRADED: status.health is Health.DEGRADED,
        NoticeKind.STUCK: status.reason in _AWAY or status.sync is Sync.UNKNOWN,
        NoticeKind.HELD: status.sync is Sync.HELD and status.reason not in _MEANT | _AWAY,
        NoticeKind.WAITING: status.sync is Sync.HELD and status.reason in _MEANT,
    }
    return tuple(kind for kind, here in found.items() if here)


def due(route: Route, told: ToldNotice | None, status: Status, began: datetime, now: datetime) -> Due | None:
    """What is to be told of one environment; None: nothing, as long as it stands as it does.

    Args:
        route: Where it would be told.
        told: What was told there last.
        status: Where it stands.
        began: Since when the route remembers what it told.
        now: An aware time.
    """
    since = status.since if status.since and status.since <= now else _EVER  # of the future: a clock was set back
    wait = _wait(route, told, now)
    kind = next((kind for kind in kinds(status) if kind in route.kinds), None)
    if kind is not None:
        return _state_due(route, told, Notice(status.environment, kind, status), since, wait, now)
    if not status.ready:
        return None  # on its way, or in a state that this route tells nothing of: what was told may not be over
    if told is not None and told.kind not in _EVENTS:
        notice = Notice(status.environment, NoticeKind.RECOVERED, status)
        return Due(_later(since, wait), notice)
    if NoticeKind.DEPLOYED in route.kinds and _is_new(told, status, began):
        return Due(_EVER, Notice(status.environment, NoticeKind.DEPLOYED, status))
    return None


def _state_due(
    route: Route, told: ToldNotice | None, notice: Notice, since: datetime, wait: timedelta, now: datetime
) -> Due:
    status = notice.status
    if told is not None and (told.kind, told.about) == (notice.kind, about(notice.kind, status)):
        return Due(_later(told.at, route.repeat) if told.at <= now else _EVER, replace(notice, reminder=True))
    if notice.kind is NoticeKind.FAILED:
        return Due(_EVER, notice)  # it is not tried again by itself, so it can't go to and fro
    patience = PATIENCE if status.reason in _AWAY else timedelta()
    return Due(_later(since, max(wait, patience)), notice)


def about(kind: NoticeKind, status: Status) -> str:
    """Why, and of what: as long as this is the same, so is what there is to tell."""
    live = status.live.id if status.live else "-"
    if kind in _EVENTS:
        return live
    run = f"{status.declared.run_id or '-'}-{(status.declared.sha256 or '-')[:12]}"
    return f"{status.reason or '-'} {live if kind in (NoticeKind.DRIFTED, NoticeKind.DEGRADED) else run}"


def after(route: Route, told: ToldNotice | None, notice: Notice, now: datetime) -> ToldNotice:
    """What is to be remembered once a notice was told."""
    status = notice.status
    live = told.live if told else ""
    if notice.kind in _EVENTS and status.live is not None:
        live = status.live.id
    times = 1 if told is None or notice.reminder or _is_calm(route, told, now) else told.times + 1
    return ToldNotice(notice.kind, about(notice.kind, status), now, times, live)


def _is_new(told: ToldNotice | None, status: Status, began: datetime) -> bool:
    """Whether what is live came here after the last that was told, or since the route began."""
    if status.live is None or status.live_since is None:
        return False
    return status.live_since > began and (told is None or told.live != status.live.id)


def _wait(route: Route, told: ToldNotice | None, now: datetime) -> timedelta:
    """How long a change must have lasted: longer for each one in a row."""
    if told is None or told.times < _FREE or _is_calm(route, told, now):
        return timedelta()
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(told.times - _FREE, 10)))


def _is_calm(route: Route, told: ToldNotice, now: datetime) -> bool:
    return not timedelta() <= now - told.at < route.repeat


def _later(at: datetime, by: timedelta) -> datetime:
    return at if at == _EVER else at + by


# --- how many messages ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many messages a route may send: `BURST` at once after a calm, and `hourly` an hour in the long run.

    Each message makes the route busy for its share of an hour; as long as it is not busy for more than `BURST` of them,
    it may send. (This is the generic cell rate algorithm, ITU-T I.371.)
    """

    hourly: int
    busy_until: datetime

    @property
    def _share(self) -> timedelta:
        return timedelta(seconds=3_600.0 / self.hourly)

    def room(self, now: datetime) -> int:
        """Messages that may be sent now."""
        return max(0, BURST + (now - self._busy(now)) // self._share)

    def opens_at(self, now: datetime) -> datetime:
        """When the next one may be sent; `now` or later."""
        return max(now, self._busy(now) - self._share * (BURST - 1))

    def spent(self, now: datetime) -> datetime:
        """Until when the route is busy once one more was sent."""
        return self._busy(now) + self._share

    def _busy(self, now: datetime) -> datetime:
        """Never further ahead than sending makes it: that comes of a clock that was wrong."""
        return min(max(self.busy_until, now), now + self._share * BURST)


def began(now: datetime) -> ToldRoute:
    """What is remembered of a route that told nothing yet."""
    return ToldRoute(now, now)


def messages(notices: Sequence[Notice], room: int, *, together: bool) -> tuple[tuple[Notice, ...], ...]:
    """Which notices go out with which message: each alone, or all in one digest when they are many.

    Args:
        notices: What is due, in any order.
        room: Messages that may be sent.
        together: Whether they make one digest in any case.
    """
    if not notices or room < 1:
        return ()
    order = list(NoticeKind)
    ordered = tuple(sorted(notices, key=lambda one: (order.index(one.kind), one.reminder, one.environment)))
    if together or len(ordered) > min(APART, room):
        return (ordered,)
    return tuple((notice,) for notice in ordered)
