"""What environments are to each other: who overlaps with whom, who waits for whom, and for how long.

Told from an outline of each file, and kept along: a change of a few files looks at those, at what they overlap with
and at what waits for them, however many others there are. A state is never changed in place, so readers need no lock.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

from reconciler.core.declare import Reading
from reconciler.core.folder import overlaps, waiting_problems
from reconciler.model import EnvironmentName

_MANY = 4
"""When more than one in so many changed, everything is told anew."""

_Name = TypeVar("_Name", bound=str)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Outline:
    """What the others have to know of one file. One that can't be read claims no place and waits for nobody."""

    place: str | None = None
    """Where its releases live."""
    after: tuple[str, ...] = ()
    """The environments that it promotes from."""
    soak: float = 0.0
    """Seconds for which they must have been healthy."""
    artifact: str = ""
    """The name of what comes there."""

    @classmethod
    def of(cls, reading: Reading) -> Outline:
        """The outline of a file that was read."""
        declaration = reading.declaration
        if declaration is None:
            return cls()
        promote = declaration.promote
        after, soak = (promote.after, promote.soak_seconds) if promote else ((), 0.0)
        return cls(declaration.place, after, soak, sys.intern(declaration.artifact.name))


@dataclass(frozen=True, slots=True)
class Relations:
    """One state of all environments."""

    outlines: Mapping[EnvironmentName, Outline]
    rivals: Mapping[EnvironmentName, tuple[EnvironmentName, ...]]
    """Environments whose target paths are the same, or one inside another."""
    problems: Mapping[EnvironmentName, str]
    """Environments that wait for one that no file declares, for themselves, or in a circle: each with a sentence."""
    soaks: Mapping[EnvironmentName, float]
    """Environments that others promote from, and the longest soak in seconds that one of those asks for."""
    places: tuple[tuple[str, EnvironmentName], ...]
    """Every claimed place with a slash behind it, in order."""
    waiters: Mapping[str, frozenset[EnvironmentName]]
    """Who waits for each."""

    @classmethod
    def of(cls, outlines: Mapping[EnvironmentName, Outline]) -> Relations:
        """Told from nothing but the outlines."""
        waiters: dict[str, set[EnvironmentName]] = {}
        for name, outline in outlines.items():
            for upstream in outline.after:
                waiters.setdefault(upstream, set()).add(name)
        frozen = {upstream: frozenset(names) for upstream, names in waiters.items()}
        places = sorted((f"{outline.place}/", name) for name, outline in outlines.items() if outline.place)
        after: dict[str, tuple[str, ...]] = {name: outline.after for name, outline in outlines.items() if outline.after}
        problems = waiting_problems(outlines.keys(), after)
        soaks = _put({}, _soaks(frozen, outlines, frozen))
        return cls(outlines, overlaps(places), problems, soaks, tuple(places), frozen)

    def moved(self, changes: Mapping[EnvironmentName, Outline | None]) -> tuple[Relations, frozenset[EnvironmentName]]:
        """The state after some files changed, and all environments that have other rivals or problems by that.

        Args:
            changes: The new outline of each; None: the file is gone.
        """
        real = {name: outline for name, outline in changes.items() if self.outlines.get(name) != outline}
        if not real:
            return self, frozenset()
        outlines = _put(self.outlines, real)
        if _MANY * len(real) > len(self.outlines):
            new = Relations.of(outlines)
            return new, _differing(self.rivals, new.rivals) | _differing(self.problems, new.problems)
        places, rivals = self._claimed(real)
        waiters = self._waiting(real)
        problems = self._problems(outlines, waiters, real)
        new = Relations(
            outlines,
            _put(self.rivals, rivals),
            _put(self.problems, problems),
            _put(self.soaks, _soaks(self._awaited(real), outlines, waiters)),
            places,
            waiters,
        )
        return new, _changed(self.rivals, rivals) | _changed(self.problems, problems)

    def _awaited(self, real: Mapping[EnvironmentName, Outline | None]) -> set[str]:
        """Whom the changed ones waited for, or do now."""
        both = (self.outlines.get(name) for name in real), real.values()
        return {upstream for outlines in both for outline in outlines if outline for upstream in outline.after}

    def _claimed(
        self, real: Mapping[EnvironmentName, Outline | None]
    ) -> tuple[tuple[tuple[str, EnvironmentName], ...], dict[EnvironmentName, tuple[EnvironmentName, ...] | None]]:
        """The places, and the rivals of all that are concerned."""
        moving = {name for name, new in real.items() if _place(self.outlines.get(name)) != _place(new)}
        if not moving:
            return self.places, {}
        places = list(self.places)
        found = {name: set(self.rivals.get(name, ())) for name in moving}
        for other in {other for others in found.values() for other in others}:
            found.setdefault(other, set(self.rivals.get(other, ())))
        for name in moving:
            for other in found[name]:
                found[other].discard(name)
            found[name] = set()
            if old := _place(self.outlines.get(name)):
                del places[bisect_left(places, (old, name))]
        for name in moving:
            if place := _place(real[name]):
                for other in _overlapping(places, place):
                    found.setdefault(other, set(self.rivals.get(other, ()))).add(name)
                    found[name].add(other)
                insort(places, (place, name))
        return tuple(places), {name: tuple(sorted(others)) or None for name, others in found.items()}

    def _waiting(self, real: Mapping[EnvironmentName, Outline | None]) -> Mapping[str, frozenset[EnvironmentName]]:
        changed: dict[str, frozenset[EnvironmentName]] = {}
        for name, new in real.items():
            old = self.outlines.get(name)
            before, after = (set(outline.after) if outline else set() for outline in (old, new))
            for upstream in before ^ after:
                known = changed[upstream] if upstream in changed else self.waiters.get(upstream, frozenset())
                changed[upstream] = known | {name} if upstream in after else known - {name}
        return _put(self.waiters, {upstream: names or None for upstream, names in changed.items()})

    def _problems(
        self,
        outlines: Mapping[EnvironmentName, Outline],
        waiters: Mapping[str, frozenset[EnvironmentName]],
        real: Mapping[EnvironmentName, Outline | None],
    ) -> dict[EnvironmentName, str | None]:
        """The problems of all that are concerned; None for those without one.

        Concerned by a name that came or went is who waits for it. Concerned by other ways are those in a circle with
        where they begin, before or now: they can be reached from there. What can be reached from all of these is
        looked at along with them, so that every circle is seen whole.
        """
        came_or_went = {name for name in real if (name in self.outlines) != (name in outlines)}
        rewired = {name for name, new in real.items() if _after(self.outlines.get(name)) != _after(new)}
        if not came_or_went and not rewired:
            return {}
        concerned = {name for gone in came_or_went for name in waiters.get(gone, ())} | came_or_went
        concerned = _reachable(concerned | _reachable(rewired, self.outlines), outlines)
        after: dict[str, tuple[str, ...]] = {name: way for name in concerned if (way := _after(outlines.get(name)))}
        found = waiting_problems(concerned & outlines.keys(), after, outlines.keys())
        return {name: found.get(name) for name in concerned}


def _place(outline: Outline | None) -> str:
    return f"{outline.place}/" if outline and outline.place else ""


def _after(outline: Outline | None) -> tuple[str, ...]:
    return outline.after if outline else ()


def _overlapping(places: Sequence[tuple[str, EnvironmentName]], place: str) -> Iterator[EnvironmentName]:
    """Who claims a place, what is in it, or what it is in."""
    parts = place.split("/")[:-1]
    for length in range(2, len(parts)):
        outer = "/".join(parts[:length]) + "/"
        yield from _claiming(places, outer)
    yield from (name for _, name in takewhile(lambda one: one[0].startswith(place), _behind(places, place)))


def _claiming(places: Sequence[tuple[str, EnvironmentName]], place: str) -> Iterator[EnvironmentName]:
    return (name for _, name in takewhile(lambda one: one[0] == place, _behind(places, place)))


def _behind(places: Sequence[tuple[str, EnvironmentName]], place: str) -> Iterator[tuple[str, EnvironmentName]]:
    """A place, what is in it, and all that follows, in order."""
    return (places[index] for index in range(bisect_left(places, (place, "")), len(places)))


def _reachable(start: Set[EnvironmentName], outlines: Mapping[EnvironmentName, Outline]) -> set[EnvironmentName]:
    """These, and all that they wait for, directly or not."""
    seen, waiting = set(start), list(start)
    while waiting:
        fresh = {EnvironmentName(other) for other in _after(outlines.get(waiting.pop()))} - seen
        seen |= fresh
        waiting += fresh
    return seen


def _soaks(
    wanted: Iterable[str],
    outlines: Mapping[EnvironmentName, Outline],
    waiters: Mapping[str, frozenset[EnvironmentName]],
) -> dict[EnvironmentName, float | None]:
    """The longest soak that anybody asks of each; None: nobody waits for it."""
    return {
        EnvironmentName(upstream): max((outlines[name].soak for name in waiters.get(upstream, ())), default=None)
        for upstream in wanted
    }


def _put(known: Mapping[_Name, _Value], changes: Mapping[_Name, _Value | None]) -> Mapping[_Name, _Value]:
    """What is known, with some of it changed; None takes it out."""
    if not changes:
        return known
    found = dict(known)
    for name, value in changes.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def _changed(
    before: Mapping[EnvironmentName, object], changes: Mapping[EnvironmentName, object]
) -> frozenset[EnvironmentName]:
    return frozenset(name for name, value in changes.items() if before.get(name) != value)


def _differing(
    before: Mapping[EnvironmentName, object], after: Mapping[EnvironmentName, object]
) -> frozenset[EnvironmentName]:
    return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))
