"""One route over hours: what is sent, what is remembered, and what a lost store or a bad channel leads to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from reconciler.core.notifying import BURST
from reconciler.errors import Reason, Transient
from reconciler.model import EnvironmentName, NoticeKind, Status
from reconciler.notifications.channel import NotSent
from reconciler.notifications.teller import Teller
from reconciler.notifications.words import Message, Page
from reconciler.stores.sql import SqlStore
from tests.core.test_notifying import ALL, HOUR, MINUTE, PROD, ROUTE, UNAPPROVED, held, well
from tests.factories import NOON

GATHER = 10.0


class Time:
    """A clock that moves when somebody waits, or when the test says so."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOON).total_seconds()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class World:
    """Where environments stand, a store, and a channel that takes messages while it is up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Time()
        self.statuses: dict[EnvironmentName, Status] = {}
        self.sent: list[Message] = []
        self.said: list[str] = []
        self.down = ""
        self.tries = 0
        self.lose_store()

    def lose_store(self) -> None:
        path, empty = self.folder / f"{len(list(self.folder.iterdir()))}.db", self.folder / "empty.db"
        if not empty.exists():
            made = self._store(empty)
            made.statuses()
            made.close()
        shutil.copy(empty, path)
        self.store = self._store(path)
        self.restart()

    def _store(self, path: Path) -> SqlStore:
        return SqlStore(f"sqlite:///{path}", self.clock, lambda step: None)

    def restart(self, route: object = None) -> None:
        self.teller = Teller(
            route or ALL,  # type: ignore[arg-type]
            self,
            Page(""),
            GATHER,
            self.store,
            lambda: dict(self.statuses),
            self.clock,
            Random(0),
            self.clock.wait,
            self.said.append,
        )

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.down:
            raise NotSent(self.down, "do something")
        self.sent.append(message)

    # --- what happens -----------------------------------------------------------------------------

    def stands(self, status: Status, *names: str) -> None:
        for name in names or (PROD,):
            environment = EnvironmentName(name)
            self.statuses[environment] = replace(status, environment=environment, since=self.clock.at)

    def deploys(self, run: int, name: str = PROD) -> None:
        status = replace(well(run), environment=EnvironmentName(name), since=self.clock.at, live_since=self.clock.at)
        self.statuses[EnvironmentName(name)] = status

    def titles(self, passed: timedelta = MINUTE) -> list[str]:
        """What is sent in the time that passes, looked at every 15 seconds."""
        before, end = len(self.sent), self.clock.at + passed
        while self.clock.at < end:
            self.teller.tell()
            self.clock.wait(15)
        return [message.title for message in self.sent[before:]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A route that has been there for a while."""
    world = World(tmp_path)
    world.stands(well(101))
    assert world.titles(10 * MINUTE) == []
    yield world
    world.store.close()


HELD = "shop/prod is Held: ApprovalMissing"


def test_a_hold_is_told_once_reminded_of_each_hour_and_its_end_told_once(world: World) -> None:
    world.stands(UNAPPROVED)
    assert world.titles(50 * MINUTE) == [HELD]
    assert world.titles(2 * HOUR) == ["shop/prod is still Held: ApprovalMissing"] * 2
    world.deploys(102)
    assert world.titles(5 * HOUR) == ["shop/prod is well again: run 102 is live"]


def test_a_restart_repeats_nothing_and_misses_nothing(world: World) -> None:
    world.stands(UNAPPROVED)
    world.deploys(55, "dev/prod")
    assert world.titles() == [HELD, "dev/prod: run 55 is live"]
    world.restart()
    assert world.titles(50 * MINUTE) == []
    world.deploys(102)
    world.deploys(56, "dev/prod")
    world.restart()
    assert world.titles() == ["dev/prod: run 56 is live", "shop/prod is well again: run 102 is live"]


def test_many_at_once_are_one_digest(world: World) -> None:
    world.stands(UNAPPROVED, *(f"e{number}/prod" for number in range(37)))
    assert world.titles() == ["37 environments: 37 held"]
    world.stands(well(102), *(f"e{number}/prod" for number in range(37)))
    assert world.titles() == ["37 environments: 37 recovered"]


def test_what_comes_while_it_gathers_is_in_the_same_message(world: World) -> None:
    waits: list[float] = []

    def more_comes(seconds: float) -> None:
        waits.append(seconds)
        world.stands(UNAPPROVED, *(f"e{number}/prod" for number in range(9)))

    world.teller._wait = more_comes
    world.stands(UNAPPROVED, "e0/prod")
    world.teller.tell()
    assert (waits, [message.title for message in world.sent]) == ([GATHER], ["9 environments: 9 held"])


def test_a_flood_is_slowed_to_what_an_hour_allows_and_then_told_as_it_is(world: World) -> None:
    for number in range(120):
        world.stands(UNAPPROVED, f"e{number}/prod")
        world.titles(timedelta(seconds=15))
    hours = (world.clock.at - NOON) / HOUR
    assert BURST + 20 < len(world.sent) <= BURST + ALL.hourly * hours + 1
    world.titles(3 * MINUTE)
    told = sum(int(message.document["count"]) for message in world.sent)
    assert told == 120


@pytest.mark.parametrize("lost", [True, False], ids=["with the store lost", "at the first start"])
def test_only_what_is_the_case_is_told_in_one_digest(world: World, tmp_path: Path, lost: bool) -> None:
    world.stands(UNAPPROVED, "a/prod", "b/prod")
    world.deploys(102)
    if lost:
        world.titles()
    before, start = dict(world.statuses), world.clock.at
    world.statuses = {PROD: before[PROD], EnvironmentName("a/prod"): before[EnvironmentName("a/prod")]}
    world.lose_store()

    def passes_end(seconds: float) -> None:
        """The last one does after half a minute."""
        world.clock.wait(seconds)
        if world.clock.at - start > MINUTE / 2:
            world.statuses = before

    world.teller._wait = passes_end
    assert world.titles(50 * MINUTE) == ["2 environments: 2 held"]


def test_a_channel_that_takes_nothing_is_told_of_once_tried_less_and_less_and_then_hears_what_is(world: World) -> None:
    world.down = "it answered 503"
    world.stands(UNAPPROVED)
    assert world.titles(30 * MINUTE) == []
    world.restart()
    world.stands(held(Reason.SELF_APPROVAL))
    assert world.titles(5 * HOUR) == []
    assert world.said == ["the route oncall takes no notifications: it answered 503 (do something)"]
    assert world.tries < 60
    memory = world.store.told_route("oncall")
    assert memory is not None
    assert (memory.failure, memory.failed_since) == ("it answered 503", NOON + 10 * MINUTE + timedelta(seconds=GATHER))
    world.down = ""
    assert world.titles(11 * MINUTE) == ["shop/prod is Held: SelfApproval"]
    assert world.said[1:] == ["the route oncall takes notifications again"]
    again = world.store.told_route("oncall")
    assert again is not None
    assert again.failed_since is None


def test_a_store_that_is_away_makes_nobody_hear_the_same_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Transient(Reason.STORE_UNAVAILABLE, "no")

    world.stands(UNAPPROVED)
    with monkeypatch.context() as patched:
        patched.setattr(world.store, "save_told_notices", away)
        for _ in range(10):
            with pytest.raises(Transient):
                world.teller.tell()
            world.clock.wait(15)
    assert [message.title for message in world.sent] == [HELD]
    world.teller.tell()
    world.restart()
    assert world.titles() == []


def test_what_came_and_went_while_the_channel_was_away_is_never_told(world: World) -> None:
    world.down = "no"
    world.stands(UNAPPROVED)
    world.titles(20 * MINUTE)
    world.stands(well(101))
    world.down = ""
    assert world.titles(2 * HOUR) == []


def test_a_route_tells_of_its_environments_and_kinds_alone(world: World) -> None:
    world.restart(replace(ROUTE, environments=("*/dev",), kinds=frozenset({NoticeKind.HELD})))
    world.stands(UNAPPROVED, "shop/prod", "shop/dev")
    world.stands(held(Reason.SOAKING), "a/dev")
    assert world.titles() == ["shop/dev is Held: ApprovalMissing"]
    world.deploys(102, "shop/dev")  # its end is not told here, and so what comes next is new
    assert world.titles(HOUR) == []
    world.stands(UNAPPROVED, "shop/dev")
    assert world.titles() == ["shop/dev is Held: ApprovalMissing"]


def test_who_is_gone_is_forgotten_after_a_day(world: World) -> None:
    world.stands(UNAPPROVED, "old/prod")
    world.titles()
    del world.statuses[EnvironmentName("old/prod")]
    world.stands(UNAPPROVED)
    world.titles(HOUR)
    assert set(world.store.told_notices("oncall")) == {"old/prod", "shop/prod"}
    world.titles(25 * HOUR)
    assert set(world.store.told_notices("oncall")) == {"shop/prod"}


def test_where_nothing_is_due_nothing_is_written_or_sent(world: World) -> None:
    world.stands(well(101), *(f"e{number}/prod" for number in range(1_000)))
    world.titles()
    writes: list[str] = []
    world.store._database._trace = writes.append
    assert world.titles(30 * MINUTE) == []
    assert (writes, world.tries) == ([], 0)
