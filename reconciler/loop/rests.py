"""What the last pass of each settled environment rested on: while all of it is as it was, another pass is not needed.

A pass reads everything anew and comes to a state. When that state left nothing to do, and nothing that it was judged
on has changed since, the next one would come to the same; so it is left out, which makes ten thousand converged
environments cheap. What counts: the file at the tip, that the tip still descends from where it was, the rules, the
operator's hand, and a glance at the target. Whatever can't be compared cheaply, and whatever can't be told, is looked
at in full; and each is once in a while in any case, as a glance does not see bits that flip beneath a file system.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.core.rules import Rules
from reconciler.declarations.catalog import Declared
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, EnvironmentName, OperatorHand, Status
from reconciler.pipeline import Fleet, Home, World, trouble
from reconciler.ports import Target

_SPREAD = 0.2
"""Of an interval, by which thorough looks are spread, so that not all come at once."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a pass that begins now reads first."""

    file: Declared
    hand: OperatorHand
    thorough: bool
    """Whether every byte is to be hashed, as it was not for long."""


@dataclass(slots=True)
class _Rest:
    """What a pass rested on."""

    file: Declared
    """At the tip as it was then, without what it says: the digest stands for that."""
    digest: str
    hand: OperatorHand
    rules: Rules
    target: Target
    glance: bytes
    home: Home | None
    """What others that promote from here want to know; None: nobody does."""
    until: float


class Rests:
    """By environment. Each is taken up and asked for by the one pass of that environment; disturbed from any thread."""

    def __init__(self, world: World, fleet: Fleet, rehash: float) -> None:
        """Prepare.

        Args:
            world: The parts.
            fleet: What concerns more than one environment.
            rehash: Seconds after which everything is hashed anew.
        """
        self._world = world
        self._fleet = fleet
        self._rehash = rehash
        self._rests: dict[EnvironmentName, _Rest] = {}
        self._begun: dict[EnvironmentName, Basis] = {}
        """Passes under way that nothing has disturbed since they began."""
        self._thorough_at: dict[EnvironmentName, float] = {}
        self._behind: tuple[CommitId | None, dict[CommitId, bool]] = (None, {})
        """A tip, and which earlier ones it is known to descend from."""

    def begin(self, file: Declared, hand: OperatorHand) -> Basis:
        """A pass begins: whatever the one before rested on does not count any more."""
        name, now = file.environment, self._world.clock.monotonic()
        self._rests.pop(name, None)
        at = self._thorough_at.setdefault(name, now + self._rehash * _spread(name))
        self._begun[name] = basis = Basis(file, hand, thorough=now >= at)
        return basis

    def end(self, basis: Basis, status: Status, home: Home | None) -> None:
        """A pass ended; keep what it rested on, if it left nothing to do."""
        name = basis.file.environment
        if basis.thorough:
            again = self._rehash * (1.0 - _SPREAD * _spread(name))
            self._thorough_at[name] = self._world.clock.monotonic() + again
        rest = self._rest(basis, status, home)
        if self._begun.pop(name, None) is basis and rest is not None:
            self._rests[name] = rest

    def disturb(self, environments: Iterable[EnvironmentName]) -> None:
        """Something happened that may concern these, also while they are looked at: look at them in full."""
        for name in environments:
            self._begun.pop(name, None)
            self._rests.pop(name, None)

    def disturb_all(self) -> None:
        """Something happened that concerns everything."""
        self.disturb([*self._begun, *self._rests])

    def hold(self, environment: EnvironmentName, hand: OperatorHand) -> bool:
        """Whether a pass would come to the same as the last one.

        Args:
            environment: Which one.
            hand: What the operator asks for it now.
        """
        rest = self._rests.get(environment)
        if rest is None:
            return False
        try:
            same = self._is_as_it_was(rest, environment, hand)
        except ReconcilerError:
            same = False  # the pass tells what can't be told
        if not same and self._rests.get(environment) is rest:
            del self._rests[environment]
        return same

    def _rest(self, basis: Basis, status: Status, home: Home | None) -> _Rest | None:
        file, declaration = basis.file, basis.file.reading.declaration if basis.file.reading else None
        if not status.ready or status.drift or home is None or home.glance is None or declaration is None:
            return None
        if declaration.is_run or home.path != status.target or trouble(home):
            return None  # what runs is no matter of a glance; and what has just moved is looked at once more
        try:
            rules = self._fleet.rulebook.rules()
        except ReconcilerError:
            return None
        if rules.pending or self._fleet.catalog.get(file.environment) != file:
            return None  # judged by other rules, perhaps, than those that hold now
        told = home if file.environment in self._fleet.catalog.soaks else None
        until = self._thorough_at[file.environment]
        digest = file.reading.digest if file.reading else ""
        return _Rest(replace(file, reading=None), digest, basis.hand, rules, home.target, home.glance, told, until)

    def _is_as_it_was(self, rest: _Rest, environment: EnvironmentName, hand: OperatorHand) -> bool:
        file = self._fleet.catalog.get(environment)
        return (
            self._world.clock.monotonic() < rest.until
            and rest.hand == hand
            and file.reading is not None
            and file.reading.digest == rest.digest
            and self._follows(rest, replace(file, reading=None))
            and self._fleet.rulebook.rules() == rest.rules
            and rest.target.glance() == rest.glance
            and self._is_told(rest, environment)
        )

    def _follows(self, rest: _Rest, file: Declared) -> bool:
        """Whether all else about the file is the same, at a tip that descends from where it was."""
        if file.tip == rest.file.tip:
            return file == rest.file
        if replace(file, tip=rest.file.tip) != rest.file or not self._descends(rest.file.tip, file.tip):
            return False
        rest.file = file
        return True

    def _descends(self, old: CommitId, new: CommitId) -> bool:
        """Asked once for each two tips, however many environments rest on them."""
        tip, known = self._behind
        if tip != new:
            known = {}
            self._behind = (new, known)
        if old not in known:
            known[old] = self._world.repository.is_ancestor(old, new)
        return known[old]

    def _is_told(self, rest: _Rest, environment: EnvironmentName) -> bool:
        """What was seen just now counts for those that promote from here, as in a pass."""
        if environment not in self._fleet.catalog.soaks:
            return True
        if rest.home is None:
            return False  # somebody began to promote from here since
        self._fleet.soaks.see(environment, rest.home, healthy=True)
        return True


def _spread(environment: EnvironmentName) -> float:
    """A number from 0 to 1 that is another one for each environment."""
    return zlib.crc32(environment.encode()) / 2**32
