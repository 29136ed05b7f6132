"""When the fake world fails: every port names its steps here right before each effect, and right after a write.

A step is `<port>:<what>`, and `<port>:<what>:done` behind a write, where only the answer can still be lost. A fault is
either the port's own Transient or a power cut, which nothing may catch: what runs then is the next process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from reconciler.errors import Reason, Transient
from reconciler.model import EnvironmentName
from tests.factories import NOON

_REASONS = {
    "repository": Reason.REPOSITORY_UNAVAILABLE,
    "forge": Reason.FORGE_UNAVAILABLE,
    "source": Reason.SOURCE_UNAVAILABLE,
    "custody": Reason.STORE_UNAVAILABLE,
    "target": Reason.TARGET_UNAVAILABLE,
    "store": Reason.STORE_UNAVAILABLE,
    "activator": Reason.ACTIVATION_FAILED,
}


WRITES = ("fence", "unpack", "place", "accept", "switch", "deliver", "remember")
"""Steps of a target that need room."""


class PowerCut(BaseException):
    """The machine is off from here on."""


@dataclass
class Faults:
    """Decides at each step whether the world fails there."""

    down: set[str] = field(default_factory=set)
    """Ports, or single steps, that are out of reach until they are taken out of this set."""
    cut_at: str = ""
    """The power goes at the next step of this name, once."""
    fail_at: str = ""
    """The next step of this name fails, once."""
    nth: int = 0
    """The power goes at this step from now, counted from 1, once; a negative number: that step fails."""
    full: bool = False
    """From where a counted step fails, nothing is written to a target any more: its disk is full."""
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What somebody else does while this process sleeps right before a step, once."""
    transient: float = 0.0
    """Chance of a Transient at each step."""
    only: EnvironmentName | None = None
    """Chance strikes during this environment's passes alone; None: anywhere."""
    random: Random = field(default_factory=lambda: Random(0))
    current: EnvironmentName | None = None
    """Whose pass is under way."""
    steps: list[str] = field(default_factory=list)
    """Every step since somebody last emptied this list."""
    struck: list[str] = field(default_factory=list)
    """Steps that failed since the pass under way began."""

    def at(self, step: str) -> None:
        """Be at a step.

        Raises:
            Transient: The port's own, when it fails here.
            PowerCut: The process ends here.
        """
        self.steps.append(step)
        if act := self.meanwhile.pop(step, None):
            act()
        counted = self._counted()
        if step == self.cut_at or counted > 0:
            self.cut_at = ""
            raise PowerCut(step)
        port = step.partition(":")[0]
        if step == self.fail_at:
            self.fail_at = ""
        elif counted and self.full:
            self.down |= {f"target:{write}" for write in WRITES}
        elif not (counted or port in self.down or step in self.down or self._chance()):
            return
        self.struck.append(step)
        raise Transient(_REASONS[port], f"{step} failed", "wait for the fake world to get better")

    def stop(self) -> None:
        """No more faults."""
        self.down, self.cut_at, self.fail_at, self.nth, self.transient = set(), "", "", 0, 0.0
        self.full = False

    def _counted(self) -> int:
        """1 or -1 when the counted step is reached, 0 otherwise."""
        if self.nth == 0:
            return 0
        sign = 1 if self.nth > 0 else -1
        self.nth -= sign
        return sign if self.nth == 0 else 0

    def _chance(self) -> bool:
        if not self.transient or (self.only is not None and self.current != self.only):
            return False
        return self.random.random() < self.transient


class ManualClock:
    """Stands until it is moved. `seconds` is the true time; the wall clock may differ from it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ahead = 0.0
        """Seconds by which the wall clock is wrong."""
        self._stopped: float | None = None

    @property
    def wall(self) -> float:
        """What the wall clock shows, in seconds since noon."""
        return self.seconds + self.ahead if self._stopped is None else self._stopped

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.ahead += seconds
        if self._stopped is not None:
            self._stopped += seconds

    def stop_wall(self) -> None:
        """The wall clock stands; time goes on."""
        self._stopped = self.wall

    def go_on(self) -> None:
        """The wall clock goes on from where it stood."""
        self.ahead, self._stopped = self.wall - self.seconds, None

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.wall)

    def monotonic(self) -> float:
        return self.seconds
