"""Knows what must be so between environments, by its own reasoning: who may promote what, and when.

Its idea of the policy in force: of each of its three lists the last that people let in, the last policy that was let
in as a whole, and the one at the tip. Whatever any of them forbids is forbidden.

It looks right before the system makes something live. What it must never see: something that is revoked and was not
live; something that was never live here while a window is closed, or without having been watched, whole and without a
break, where it must come from. What was let onto a target before (its record lies there) is only being finished.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.approve import Approval
from reconciler.model import Accepted, CommitId, EnvironmentName
from tests.simulation.git import Bar, File
from tests.simulation.letting import LettingIn
from tests.simulation.policy import PATH, Policy, covers
from tests.simulation.timeline import Span
from tests.simulation.world import FakeWorld

Pair = tuple[int, str]
_NONE = Policy()
_EPSILON = 1e-6


class Overstepped(AssertionError):
    """A rule between environments was broken."""


@dataclass
class Oversight:
    """Watches what is made live in one world."""

    world: FakeWorld
    people: LettingIn
    base: dict[EnvironmentName, Accepted]
    """The newest declaration of each environment that was put on a target."""
    was_live: dict[EnvironmentName, set[Pair]] = field(default_factory=dict)
    unsure: set[EnvironmentName] = field(default_factory=set)

    # --- the policy ---------------------------------------------------------------------------------

    def let_in_at(self, commit: CommitId) -> tuple[Policy, ...]:
        """What people let in, along the line of commits up to one."""
        values, whole = dict(_NONE.meaning()), _NONE
        for change in self.people.changes(PATH, commit):
            old, new = self._policy(change.before), self._policy(change.after)
            if new is None or old is None:
                continue
            bars = [self.world.newcomer, *(floor.bar for floor in self.world.floors)]
            bars += [floor.bar for policy in (_made(values), whole, old) for floor in policy.floors]
            if self.people.let_in(change, PATH, list(bars)):
                shown = old.meaning()
                values |= {name: value for name, value in new.meaning().items() if shown[name] != value}
            if all(value == values[name] for name, value in new.meaning().items()):
                whole = new
        return _made(values), whole

    def in_force(self, tip: CommitId) -> tuple[Policy, ...]:
        """What was let in, and whatever the tip says."""
        at_tip = self._policy(self.world.git.nodes[tip].files.get(PATH))
        return (*self.let_in_at(tip), *([at_tip] if at_tip else []))

    def floors(self, environment: str, parent: CommitId | None) -> list[Bar]:
        """What every change on top of a commit must meet."""
        policies = [Policy(floors=self.world.floors), *(self.in_force(parent) if parent else ())]
        return [floor.bar for policy in policies for floor in policy.floors if covers(floor.names, environment)]

    def every_floor(self, tip: CommitId) -> list[Bar]:
        """All floors that any policy on the way to a commit ever had."""
        found = [floor.bar for floor in self.world.floors]
        for node in self.world.git.chain(tip):
            policy = self._policy(node.files.get(PATH))
            found += [floor.bar for floor in policy.floors] if policy else []
        return list(dict.fromkeys(found))

    def revoked(self, run: int, sha256: str, tip: CommitId) -> bool:
        return any(policy.revokes(run, sha256) for policy in self.in_force(tip))

    def governed(self, environment: str, tip: CommitId) -> bool:
        """Whether more than people's word may hold it."""
        git = self.world.git
        data = git.nodes[tip].files.get(PATH)
        if data is not None and self._policy(data) is None:
            return True
        file = git.meanings.get(git.nodes[tip].files.get(f"{environment}.yaml", b""))
        closing = any(covers(window.names, environment) for one in self.in_force(tip) for window in one.freeze)
        return closing or file is None or self._waits(environment, tip) or self.revoked(file.run, file.sha256, tip)

    def _waits(self, environment: str, tip: CommitId) -> bool:
        """Whether any declaration on the way names somewhere to promote from: whose rule it is, is hard to tell."""
        git, base = self.world.git, self.base.get(EnvironmentName(environment))
        nodes = (*git.chain(tip), *([git.nodes[base.commit]] if base else []))
        found = (git.meanings.get(node.files.get(f"{environment}.yaml", b"")) for node in nodes)
        return any(file.after for file in found if file)

    def _policy(self, data: bytes | None) -> Policy | None:
        """None: it can't be read."""
        if data is None:
            return _NONE
        found = self.world.git.policies.get(data)
        return found if isinstance(found, Policy) else None

    # --- right before something is made live -----------------------------------------------------------

    def switching(self, path: str, approval: Approval) -> None:
        """Raise Overstepped unless this may go live now."""
        environment, pair = approval.environment, (int(approval.run_id), str(approval.sha256))
        place, tip = self.world.targets.places[path], self.world.tip_in_sight
        live = place.live
        before = live and (int(live.release.run_id), str(live.release.sha256))
        known = self.was_live.setdefault(environment, set())
        begun = self.base.get(environment)
        finishing = begun is not None and (int(begun.run_id), str(begun.sha256)) == pair
        if tip is not None and before != pair:
            what = f"{environment} gets run {pair[0]}"
            _ensure(not self.revoked(*pair, tip), f"{what}, which is revoked")
            if pair not in known and not finishing:
                closed = any(policy.closed(environment, self.world.clock.wall) for policy in self.in_force(tip))
                _ensure(not closed, f"{what} while a window is closed")
                for file in self._rules(environment, approval.commit):
                    for upstream in file.after:
                        self._check_upstream(what, EnvironmentName(upstream), pair, file.soak)
        known.add(pair)

    def _rules(self, environment: str, commit: CommitId) -> Iterable[File]:
        """The declaration that lets an artifact in, and the one before it came."""
        git, path = self.world.git, f"{environment}.yaml"
        here = git.meanings.get(git.nodes[commit].files.get(path, b""))
        yield from [here] if here else []
        for node in reversed(git.chain(commit)):
            old = git.meanings.get(git.before(node).get(path, b""))
            if here and old and (old.run, old.sha256) != (here.run, here.sha256):
                yield old
                return

    def _check_upstream(self, what: str, upstream: EnvironmentName, pair: Pair, soak: int) -> None:
        base = self.base.get(upstream)
        if upstream in self.unsure:
            return
        _ensure(base, f"{what}; {upstream} never ran anything")
        assert base
        there = self.world.git.meanings[self.world.git.nodes[base.commit].files[f"{upstream}.yaml"]].path
        live, span = self.world.targets.places[there].live, self.world.timeline.span(there)
        _ensure(live and str(live.release.sha256) == pair[1], f"{what}, which {upstream} does not run")
        _ensure(live and not live.drifted, f"{what}, and {upstream} is not healthy")
        whole = self.world.clock.seconds - span.broke
        _ensure(whole + _EPSILON >= soak, f"{what} after {whole} s in {upstream}, of {soak}")
        _ensure(_seen(span) + _EPSILON >= soak, f"{what} after {_seen(span)} s seen in {upstream}, of {soak}")


def _seen(span: Span) -> float:
    return span.seen


def _made(values: dict[str, object]) -> Policy:
    known: Any = values
    runs, digests = known["revoked"]
    return Policy(known["freeze"], runs, digests, known["floors"])


def _ensure(fine: object, otherwise: str) -> None:
    if not fine:
        raise Overstepped(otherwise)
