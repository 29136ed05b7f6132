"""Which bytes ran in an environment at a time that has passed: worked out from the record, and not believed beyond it.

The last success by then that was no repair says which declaration was in force, the last deployment since when its
bytes were live. Attempts that did not end well since may have switched live all the same. What was seen live after
them settles that; where nothing was seen, the answer says that it is not proven.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.core.audit import Entry, Kind
from reconciler.core.plandoc import release_name
from reconciler.core.readable import moment
from reconciler.model import Action, Attempt, Declared, EnvironmentName, Outcome, Transition
from reconciler.ports import Store

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE)
_PAGE = 200
"""Attempts read at first; ten times as many each time that they don't go back far enough."""
_BRINGS = frozenset({Action.DEPLOY, Action.ROLLBACK})
_KEEPS = frozenset({Action.ACCEPT, Action.ACTIVATE})
"""Actions after which the same release is live as before."""


def instant(text: str) -> datetime | None:
    """A time such as `2026-11-22T14:05Z`; in UTC when it names no zone. None: it is none."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.upper())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # a 30th of February; the first hours of the year 1 in the east
        return None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A release that somebody looked at: what was live then, whatever attempts say."""

    at: datetime
    release: str


@dataclass(frozen=True, slots=True)
class Past:
    """What the record says of one environment at one time."""

    environment: EnvironmentName
    at: datetime
    force: Attempt
    """Brought the declaration that was in force. Repairs bring none."""
    deployment: Attempt | None
    """Brought the bytes; None when that is not in this memory."""
    repairs: tuple[Attempt, ...]
    """Put the same bytes there again since, newest first."""
    doubts: tuple[Attempt, ...]
    """Began since, and did not end well by then; newest first."""
    state: Transition | None
    """The last change of state by then, when it is still remembered."""
    sighting: Sighting | None
    """The last look at what was live, no earlier than the last success."""
    entries: Mapping[int, tuple[Entry, ...]]
    """The audit entries of the attempts above, by the attempts' ids."""

    @property
    def release(self) -> str:
        """The id of the live release: as it was seen, else as a first installation is called."""
        force = self.force
        seen = [self.sighting.release] if self.sighting else []
        if force.action in _KEEPS and force.before and not any((one.id or 0) > (force.id or 0) for one in self.repairs):
            seen.append(force.before.id)
        return next((one for one in seen if _names(one, force.declared)), release_name(force.declared))

    @property
    def open_doubts(self) -> tuple[Attempt, ...]:
        """Attempts after whose end nobody is known to have looked at what was live."""
        return tuple(doubt for doubt in self.doubts if not _seen_after(doubt, self.sighting))

    @property
    def contradicted(self) -> bool:
        """Whether something else was seen live than the record accounts for."""
        return self.sighting is not None and not _names(self.sighting.release, self.force.declared)

    @property
    def unproven(self) -> tuple[str, ...]:
        """Why the answer may be wrong; empty when the record proves it."""
        told = [_doubt(doubt, self.at) for doubt in self.open_doubts]
        if self.sighting and self.contradicted:
            told.append(
                f"{self.sighting.release} was seen live at {moment(self.sighting.at)}, which no attempt put there"
            )
        if self.deployment is None:
            told.append(
                "the deployment of these bytes is not in this memory, so nobody can tell since when they were live"
            )
        for attempt in (self.force, *filter(None, [self.deployment])):
            told += _contradictions(attempt, self.entries.get(attempt.id or 0, ()))
        return tuple(dict.fromkeys(told))


def recall(store: Store, environment: EnvironmentName, at: datetime) -> Past | None:
    """What ran at `at`. None: by then nothing is known to have been put live."""
    successes = _reaching(lambda limit: store.succeeded(environment, at, limit), lambda one: one.action in _BRINGS)
    last = successes[0].id or 0 if successes else 0
    attempts = _reaching(lambda limit: store.attempts(environment, limit), lambda one: (one.id or 0) <= last)
    later = [one for one in attempts if (one.id or 0) > last and one.started <= at]
    state = next((one for one in reversed(store.transitions(environment)) if one.at <= at), None)
    sighting = _sighting(later, state)
    doubts = [one for one in later if _in_doubt(one, at)]
    if switched := _switched(doubts, sighting, successes[:1]):
        successes = (switched, *successes)
        doubts = [one for one in doubts if (one.id or 0) > (switched.id or 0)]
    if not successes:
        return None
    force, deployment, repairs = _origin(successes)
    since = successes[0].finished or successes[0].started
    shown = {one.id or 0 for one in (force, *filter(None, [deployment]), *repairs, *doubts)}
    return Past(
        environment=environment,
        at=at,
        force=force,
        deployment=deployment,
        repairs=repairs,
        doubts=tuple(doubts),
        state=state,
        sighting=sighting if sighting and sighting.at >= since else None,
        entries=_entries(store.audit(), shown),
    )


def unsettled(store: Store, environment: EnvironmentName, at: datetime) -> tuple[str, ...]:
    """Attempts by then that may have put something live, though nothing shows that they did; newest first."""
    begun = (one for one in store.attempts(environment, _PAGE) if one.started <= at)
    return tuple(_doubt(one, at) for one in begun if _in_doubt(one, at))


def _reaching(read: Callable[[int], tuple[Attempt, ...]], far: Callable[[Attempt], bool]) -> tuple[Attempt, ...]:
    """Attempts, newest first, back to one that is far enough; all there are when none is."""
    limit = _PAGE
    while True:
        found = read(limit)
        if len(found) < limit or any(map(far, found)):
            return found
        limit *= 10


def _in_doubt(attempt: Attempt, at: datetime) -> bool:
    """Whether it may have switched live by then, and is not known to have."""
    if attempt.finished is None or attempt.finished > at:
        return attempt.outcome is not Outcome.REFUSED
    return attempt.outcome in (Outcome.FAILED, Outcome.INTERRUPTED)


def _sighting(later: Iterable[Attempt], state: Transition | None) -> Sighting | None:
    """Every attempt notes what it found live, every change of state what is."""
    seen = [Sighting(one.started, one.before.id) for one in later if one.before]
    if state and state.live:
        seen.append(Sighting(state.at, state.live))
    return max(seen, key=lambda one: one.at, default=None)


def _seen_after(attempt: Attempt, sighting: Sighting | None) -> bool:
    return bool(sighting and attempt.finished and attempt.finished <= sighting.at)


def _switched(doubts: Iterable[Attempt], sighting: Sighting | None, known: Sequence[Attempt]) -> Attempt | None:
    """The newest attempt that did not end well, and whose release was seen live nevertheless."""
    if sighting is None or any(_names(sighting.release, one.declared) for one in known):
        return None
    return next((doubt for doubt in doubts if _brought(doubt, sighting)), None)


def _brought(attempt: Attempt, sighting: Sighting) -> bool:
    """Whether it switched, whatever came of it later: its release was seen live since, and was not before."""
    if not _names(sighting.release, attempt.declared):
        return False
    was_there = attempt.before is not None and _names(attempt.before.id, attempt.declared)
    return _seen_after(attempt, sighting) or (not was_there and attempt.started <= sighting.at)


def _origin(successes: Sequence[Attempt]) -> tuple[Attempt, Attempt | None, tuple[Attempt, ...]]:
    """What brought the declaration in force, the deployment that brought its bytes, and repairs of them since."""
    force: Attempt | None = None
    repairs: list[Attempt] = []
    for attempt in successes:
        if attempt.declared.sha256 != successes[0].declared.sha256:
            break  # what came after it is not in this memory
        if attempt.action is Action.REPAIR:
            repairs.append(attempt)
        else:
            force = force or attempt
        if attempt.action in _BRINGS:
            return force or attempt, attempt, tuple(repairs)
    return force or successes[0], None, tuple(repairs)


def _entries(chain: Iterable[Entry], attempts: set[int]) -> Mapping[int, tuple[Entry, ...]]:
    """The entries of some attempts; the chain is read no further than they need."""
    found: dict[int, tuple[Entry, ...]] = {}
    left = set(attempts)
    for entry in chain:
        if entry.attempt in attempts:
            found[entry.attempt] = (*found.get(entry.attempt, ()), entry)
            if entry.kind is not Kind.INTENT:
                left.discard(entry.attempt)
        if not left:
            break
    return found


def _contradictions(attempt: Attempt, entries: Sequence[Entry]) -> list[str]:
    """Where the audit chain says something else of an attempt than the memory beside it."""
    declared = attempt.declared
    wanted = (attempt.environment, attempt.action, declared.commit, declared.run_id, declared.sha256)
    others = [
        entry.seq
        for entry in entries
        if (entry.environment, entry.action, entry.commit, entry.run_id, entry.sha256) != wanted
        or (entry.kind is Kind.OUTCOME and entry.outcome != attempt.outcome)
    ]
    told = [
        f"audit entry {seq} says something else of attempt {attempt.id} than the memory beside it" for seq in others
    ]
    return told if entries else [f"attempt {attempt.id} has no audit entry"]


def _doubt(attempt: Attempt, at: datetime) -> str:
    what = f"attempt {attempt.id} ({attempt.action} of run {attempt.declared.run_id or '-'})"
    if attempt.finished is None or attempt.finished > at:
        return f"{what} had begun at {moment(attempt.started)} and was under way: live may have been switched"
    ended = f"{attempt.outcome} at {moment(attempt.finished)}"
    message = f" ({attempt.message})" if attempt.message else ""
    return f"{what} had begun at {moment(attempt.started)} and ended as {ended}{message}: live may have been switched"


def _names(release: str, declared: Declared) -> bool:
    """Whether a release's id stands for an artifact: also a later installation of it, `….2`."""
    return release.partition(".")[0] == release_name(declared)
