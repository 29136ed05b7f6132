"""What must be so of what runs, by the truth of the fake world: who may go back where, and what is not tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import Reason
from reconciler.model import Accepted, Action, EnvironmentName, Health, Status
from tests.simulation.git import File
from tests.simulation.running import BAD_CONFIG, FAILS, Character

if TYPE_CHECKING:
    from tests.simulation.world import FakeWorld

ASKED = frozenset({Character.BAD, Character.CRASHES})
"""What fails only where somebody asks for its health."""


class Lifeless(AssertionError):
    """A promise about what runs was broken."""


@dataclass
class Lives:
    """Watches everything that is started in one world."""

    world: FakeWorld
    given_up: dict[str, set[str]] = field(default_factory=dict)
    """Commits that failed, by the path where, and that nobody said `retry` for."""
    history: dict[str, list[Accepted]] = field(default_factory=dict)
    fallen: set[tuple[str, str]] = field(default_factory=set)
    """Where something was gone back to, and what."""
    known_good: set[str] = field(default_factory=set)
    """Commits of which a pass said that they run well."""
    _back: dict[str, bool] = field(default_factory=dict)
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.world.started = self._starting
        self.world.retried = self._retried
        self.world.timeline.noted = self._accepted

    def _starting(self, environment: str) -> None:
        place = self.world.living_at(environment)
        assert place
        assert place.accepted
        path = self._path(environment)
        _ensure(
            place.accepted.commit not in self.given_up.get(path, set()),
            f"{environment}: {place.accepted.commit[:7]} is started again, and nobody said so",
        )

    def _retried(self, environment: str) -> None:
        for path, place in self.world.targets.places.items():
            if place.accepted and place.accepted.environment == environment:
                self.given_up.pop(path, None)

    def _path(self, environment: str) -> str:
        place = self.world.living_at(environment)
        return next(path for path, known in self.world.targets.places.items() if known is place)

    def check(self) -> None:
        """Take note of what failed anywhere; and no record may show a secret."""
        for path, place in self.world.targets.places.items():
            failed = place.service.failed if place.service else None
            if failed and (path, failed.commit, failed.at) not in self._seen:
                self._seen.add((path, failed.commit, failed.at))
                self.given_up.setdefault(path, set()).add(failed.commit)

    def check_secrets(self) -> None:
        """No record shows a secret (S7)."""
        services = [place.service for place in self.world.targets.places.values()]
        records = repr((self.world.store.memory, services))
        _ensure(not [one for one in self.world.units.ever if one in records], "S7: a record shows a secret")

    def is_back(self, path: str) -> bool:
        """Whether what was let in last at a place was gone back to."""
        return self._back.get(path, False)

    def _accepted(self, path: str, old: Accepted | None, new: Accepted) -> None:
        past = self.history.setdefault(path, [])
        self._back[path] = self._goes_back(path, new, old) if old else False
        past.append(new)

    def _goes_back(self, path: str, new: Accepted, old: Accepted) -> bool:
        place, past = self.world.targets.places[path], self.history[path]
        failed = place.service.failed if place.service else None
        earlier = [index for index, one in enumerate(past) if one.commit == new.commit]
        if not earlier or failed is None or failed.commit != old.commit or new.commit == old.commit:
            return False
        what = f"{new.environment} goes back from {old.commit[:7]} to {new.commit[:7]}"
        _ensure((path, old.commit) not in self.fallen, f"{what}, which was gone back to itself")
        _ensure(old.commit in self.world.units.odd or self.fails(self._file(old)), f"{what}, though that one runs")
        file = self._file(new)
        well = new.commit in self.world.units.well or not (file and file.activate and file.within)
        _ensure(well, f"{what}, which never ran well")
        between = {one.commit for one in past[earlier[-1] + 1 :]} - {new.commit}
        _ensure(not between & self.known_good, f"{what}, and {between & self.known_good} ran well since")
        mine = [one for one in self.world.store.memory.attempts.values() if one.environment == new.environment]
        announced = [one for one in mine if one.action is Action.ROLLBACK and one.declared.commit == new.commit]
        _ensure(announced, f"S3: {what}, and no record says so")
        self.fallen.add((path, new.commit))
        return True

    def passed(self, status: Status) -> None:
        """What a pass says is well counts as what worked."""
        place = self.world.living_at(status.environment)
        if place and place.accepted and status.ready and place.accepted.commit == status.declared.commit:
            self.known_good.add(place.accepted.commit)

    def fails(self, file: File | None) -> bool | None:
        """Whether a declaration can't come to life; None: that depends."""
        if file is None or not file.activate:
            return False
        character = self.world.units.character(file.run)
        if character in FAILS - ASKED:
            return True
        bad = character in ASKED or file.config == BAD_CONFIG
        if bad and not file.within:
            return None if character is Character.CRASHES else False
        return bad

    def wanted(self, environment: EnvironmentName, file: File) -> bool | None:
        """Whether it is synced in the end, as far as that is up to what runs."""
        if not file.activate:
            return None if file.within else True
        if file.secret and file.secret not in self.world.units.values:
            return False
        fails = self.fails(file)
        if fails:
            return False
        if fails is None or file.drift == "report" or self._odd(environment, file):
            return None
        return True

    def _odd(self, environment: EnvironmentName, file: File) -> bool:
        path, meanings = f"{environment}.yaml", self.world.git.meanings
        unlucky = [node for node in self.world.git.nodes.values() if node.id in self.world.units.odd]
        return any(meanings.get(node.files.get(path, b"")) == file for node in unlucky)

    def check_runs(self, environment: EnvironmentName, file: File, *, current: bool) -> None:
        """What is started is just what was let in, with its config; `current`: and with the secrets of now."""
        place, unit = self.world.living_at(environment), self.world.units.unit(environment)
        accepted = place.accepted if place else None
        if not file.activate or accepted is None or place is None or place.live is None:
            return
        path, live = self._path(environment), place.live.release
        if (live.run_id, live.sha256) != (accepted.run_id, accepted.sha256):
            return  # its switch failed, which is no drift
        if accepted.commit in self.given_up.get(path, set()) | self.world.units.odd or self.fails(file) is not False:
            return
        started = unit.started
        what = f"L1: {environment} is to run {file}, {started} is started"
        _ensure(started and started.run == file.run, what)
        assert started
        lines = started.given.splitlines()
        _ensure((f'CONFIG="{file.config}"' in lines) == bool(file.config), what)
        if current and file.secret:
            _ensure(f'SECRET="{self.world.units.values[file.secret]}"' in lines, what)
        if current and file.within:
            _ensure(self.world.units.healthy(environment), what)

    def check_status(self, status: Status) -> None:
        """What is not healthy is not said to be."""
        place, unit = self.world.living_at(status.environment), self.world.units.unit(status.environment)
        file = self._file(place.accepted) if place and place.accepted else None
        asked = file is not None and file.activate and file.within
        asked = asked and status.reason is not Reason.BRANCH_REWRITTEN  # then nobody knows what is asked of it
        if asked and unit.started and self.world.units.character(unit.started.run) in FAILS:
            _ensure(status.health is not Health.HEALTHY, f"{status.environment} is said to be healthy: {unit}")

    def _file(self, accepted: Accepted) -> File | None:
        data = self.world.git.nodes[accepted.commit].files.get(f"{accepted.environment}.yaml", b"")
        return self.world.git.meanings.get(data)


def _ensure(fine: object, otherwise: str) -> None:
    if not fine:
        raise Lifeless(otherwise)
