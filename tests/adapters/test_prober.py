"""The checks of all environments: whose turn it is, on times that are made up; and the threads, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.core.running import HealthSpec
from reconciler.errors import Reason
from reconciler.machine.clock import SystemClock
from reconciler.model import Declared, EnvironmentName, Health, HealthState, Probed, Release, RunId, Status, Sync
from reconciler.ports import Check, Job, Probe
from reconciler.prober import Prober, Remembered, asking
from reconciler.prober.rota import Lane, Rota, Row
from reconciler.probes import tcp
from tests import factories, jobs
from tests.adapters.test_programs import soon

GOOD, BAD = Probed(True, "well"), Probed(False, "ill")
NOON = factories.NOON
FOLDER = Path("/srv/shop/releases/17-abc")


def check(name: str, *, proven: bool = False, since: datetime = NOON, **fields: object) -> Check:
    spec = HealthSpec.model_validate({"tcp": "127.0.0.1:1", **fields})
    return Check(spec, Job(EnvironmentName(name), FOLDER, {}, frozenset()), since, proven)


class Hand:
    """A rota, and the time."""

    def __init__(self, workers: int = 8) -> None:
        self.rota = Rota(workers, Random(4711))
        self.now = 1_000.0

    def expect(self, *checks: Check) -> None:
        for one in checks:
            self.rota.expect(one, self.now, NOON)

    def takes(self) -> list[tuple[Row, Lane]]:
        """All that may be asked now."""
        self.rota.call(self.now)
        found = []
        while turn := self.rota.take():
            found.append(turn)
        return found

    def names(self) -> list[str]:
        return [row.check.job.environment for row, _ in self.takes()]

    def answer(self, turn: tuple[Row, Lane], probed: Probed, took: float = 0.0) -> bool:
        began, self.now = self.now, self.now + took
        return self.rota.done(*turn, probed, began, self.now, NOON + timedelta(seconds=self.now - 1_000))

    def ask_all(self, probed: Probed, took: float = 0.0) -> int:
        turns = self.takes()
        for number, turn in enumerate(turns):
            self.answer(turn, probed, 0.0 if number else took)
        return len(turns)


def test_what_was_just_activated_is_asked_at_once_and_then_when_it_is_due() -> None:
    hand = Hand()
    hand.expect(check("a"))
    assert hand.ask_all(GOOD) == 1
    assert hand.ask_all(GOOD) == 0
    hand.now += 8.9
    assert hand.ask_all(GOOD) == 0
    hand.now += 2.2
    assert hand.ask_all(GOOD) == 1


def test_what_was_proven_before_a_restart_is_asked_within_a_second_and_not_all_at_once() -> None:
    hand = Hand(workers=1_000)
    hand.expect(*(check(f"e{number}", proven=True) for number in range(200)))
    first = hand.ask_all(GOOD)
    hand.now += 0.5
    second = hand.ask_all(GOOD)
    hand.now += 0.5
    assert 0 <= first < 20
    assert 60 < second < 140
    assert first + second + hand.ask_all(GOOD) == 200


def test_a_state_begins_with_the_answer_that_brings_it() -> None:
    hand = Hand()
    row = hand.rota.expect(check("a", failures=1), hand.now, NOON)
    assert (row.checked.state, row.checked.since) == (HealthState.WAITING, NOON)
    (turn,) = hand.takes()
    assert hand.answer(turn, GOOD, 2.0)
    assert (row.checked.state, row.checked.since) == (HealthState.HEALTHY, NOON + timedelta(seconds=2))
    hand.now += 11
    (turn,) = hand.takes()
    assert not hand.answer(turn, GOOD)
    assert row.checked.since == NOON + timedelta(seconds=2)
    hand.now += 11
    (turn,) = hand.takes()
    assert hand.answer(turn, BAD)
    assert (row.checked.state, row.checked.message) == (HealthState.UNHEALTHY, "ill")


def test_the_same_check_again_changes_nothing() -> None:
    hand = Hand()
    hand.expect(check("a"))
    hand.ask_all(GOOD)
    again = hand.rota.expect(check("a"), hand.now, NOON)
    assert again.checked.state is HealthState.HEALTHY
    assert hand.names() == []


def test_once_proven_the_row_goes_on() -> None:
    hand = Hand()
    hand.expect(check("a"))
    hand.ask_all(GOOD)
    assert hand.rota.expect(check("a", proven=True), hand.now, NOON).checked.state is HealthState.HEALTHY
    assert len(hand.rota) == 1


@pytest.mark.parametrize(
    "other",
    [
        check("a", since=NOON + timedelta(seconds=1)),
        check("a", every="20s"),
        replace(check("a"), job=Job(EnvironmentName("a"), Path("/srv/other"), {}, frozenset())),
    ],
    ids=["another activation", "another declaration", "another release"],
)
def test_another_check_is_a_new_row(other: Check) -> None:
    hand = Hand()
    hand.expect(check("a"))
    hand.ask_all(GOOD)
    assert hand.rota.expect(other, hand.now, NOON).checked.state is HealthState.WAITING
    assert hand.names() == ["a"]


def test_an_answer_to_a_row_that_was_replaced_or_forgotten_counts_for_nothing() -> None:
    hand = Hand()
    hand.expect(check("a"), check("b"))
    first, second = hand.takes()
    hand.rota.forget(EnvironmentName("b"))
    hand.expect(check("a", since=NOON + timedelta(seconds=1)))
    assert not hand.answer(first, GOOD)
    assert not hand.answer(second, GOOD)
    row = hand.rota.row(EnvironmentName("a"))
    assert row is not None
    assert row.checked.state is HealthState.WAITING
    assert hand.rota.row(EnvironmentName("b")) is None


def test_what_is_forgotten_is_not_asked_any_more() -> None:
    hand = Hand()
    hand.expect(check("a"))
    hand.rota.call(hand.now)
    hand.rota.forget(EnvironmentName("a"))
    assert hand.names() == []


def test_after_a_restart_the_time_goes_on_where_it_was() -> None:
    hand = Hand()
    row = hand.rota.expect(check("a", within="60s"), hand.now, NOON + timedelta(seconds=59))
    states = []
    for pause in (0.0, 1.0):
        hand.now += pause
        (turn,) = hand.takes()
        hand.answer(turn, BAD)
        states.append(row.checked.state)
    assert states == [HealthState.WAITING, HealthState.FAILED]


def test_the_wall_clock_counts_for_nothing_while_we_run() -> None:
    hand = Hand()
    row = hand.rota.expect(check("a"), hand.now, NOON)
    (turn,) = hand.takes()
    hand.rota.done(*turn, BAD, hand.now, hand.now, NOON + timedelta(days=400))
    assert row.checked.state is HealthState.WAITING


def test_what_hangs_has_half_of_the_workers_and_a_place_is_kept_for_what_was_just_activated() -> None:
    hand = Hand(workers=8)
    hand.expect(*(check(f"slow{number}", proven=True) for number in range(20)))
    hand.now += 1.0
    while turns := hand.takes():  # all of them hang, and now that is known
        for turn in turns:
            hand.rota.done(*turn, BAD, hand.now - 2.0, hand.now, NOON)
    hand.now += 1_000
    assert len(hand.names()) == 4
    hand.expect(*(check(f"usual{number}", proven=True) for number in range(20)))
    hand.now += 1.0
    assert [name[:5] for name in hand.names()] == ["usual"] * 3
    hand.expect(check("new"))
    assert hand.names() == ["new"]


def test_what_was_just_activated_is_asked_first() -> None:
    hand = Hand(workers=1)
    hand.expect(check("usual", proven=True))
    hand.now += 1.0
    hand.rota.call(hand.now)
    hand.expect(check("new"))
    (first,) = hand.takes()
    assert first[0].check.job.environment == "new"
    hand.answer(first, GOOD)
    assert hand.names() == ["usual"]


def test_what_hung_once_and_is_quick_again_waits_among_the_others() -> None:
    hand = Hand()
    row = hand.rota.expect(check("a"), hand.now, NOON)
    for took, lane in ((2.0, Lane.SLOW), (0.1, Lane.USUAL)):
        (turn,) = hand.takes()
        hand.answer(turn, GOOD, took)
        assert row.lane is lane
        hand.now += 11


def test_a_new_release_of_what_hung_waits_among_its_like_until_it_answers() -> None:
    hand = Hand()
    hand.expect(check("a"))
    hand.ask_all(BAD, 2.0)
    assert hand.rota.expect(check("a", every="20s"), hand.now, NOON).lane is Lane.SLOW


def test_rows_and_their_queues_stay_as_many_as_there_are_environments() -> None:
    hand = Hand(workers=1_000)
    for number in range(300):
        hand.expect(*(check(f"e{one}", since=NOON + timedelta(seconds=number)) for one in range(10)))
        hand.ask_all(GOOD)
        hand.now += 11
    assert len(hand.rota) == 10
    assert len(hand.rota._due._heap) <= 20
    assert sum(map(len, hand.rota._waiting.values())) == 0


# --- threads ------------------------------------------------------------------------------------------------


class Doors:
    """A probe whose answers the test decides, by environment; one that hangs is let go at the end."""

    def __init__(self) -> None:
        self.answers: dict[str, Probed | Exception] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.open = threading.Event()

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """Everything."""

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        self.asked.append(job.environment)
        if job.environment in self.hanging:
            self.open.wait(60)
        found = self.answers.get(job.environment, GOOD)
        if isinstance(found, Exception):
            raise found
        return found


@contextmanager
def asks(probe: Probe, workers: int = 4, wake: Callable[[EnvironmentName], None] = print) -> Iterator[Prober]:
    prober = Prober({"tcp": probe}, SystemClock(), Random(1), Bounds(probes=workers), wake)
    prober.start()
    try:
        yield prober
    finally:
        if isinstance(probe, Doors):
            probe.open.set()
        prober.stop()


def now_check(name: str, *, proven: bool = False, **fields: object) -> Check:
    return check(name, proven=proven, since=SystemClock().now(), **fields)


def test_a_service_is_healthy_then_not_and_then_again_and_each_change_wakes_once(tmp_path: Path) -> None:
    woken: list[str] = []
    probe = tcp.create({"allow": [{"hosts": ["127.0.0.1:*"], "environments": ["*"]}]}, jobs.parts(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as first, asks(probe, wake=woken.append) as prober:
        address = first.getsockname()
        asked = now_check("shop/prod", tcp=f"127.0.0.1:{address[1]}", every="1s", failures=1)
        assert prober.expect(asked).state is HealthState.WAITING
        soon(lambda: prober.expect(asked).state is HealthState.HEALTHY)
        first.close()
        soon(lambda: prober.expect(asked).state is HealthState.UNHEALTHY)
        assert prober.expect(asked).message == "refused the connection"
        with socket.create_server(address):
            soon(lambda: prober.expect(asked).state is HealthState.HEALTHY)
            soon(lambda: len(woken) == 3)
    assert woken == ["shop/prod"] * 3
    assert prober.made[True] >= 2
    assert prober.made[False] >= 1


def test_it_fails_within_its_time(tmp_path: Path) -> None:
    probe = Doors()
    probe.answers["a"] = BAD
    with asks(probe) as prober:
        asked = now_check("a", within="1s")
        prober.expect(asked)
        soon(lambda: prober.expect(asked).state is HealthState.FAILED)
    assert len(probe.asked) >= 2


def test_hosts_that_hang_keep_nobody_waiting_who_answers() -> None:
    probe = Doors()
    probe.hanging = {"h0", "h1"}
    with asks(probe, workers=8) as prober:
        for number in range(2):
            prober.expect(now_check(f"h{number}"))
        names = [EnvironmentName(f"e{number}") for number in range(200)]
        for name in names:
            prober.expect(now_check(name))
        assert prober.settle(names, 30) == frozenset()
        assert prober.expect(now_check("new")).state is HealthState.WAITING
        assert prober.settle([EnvironmentName("new")], 30) == frozenset()
        assert prober.settle([EnvironmentName("h0")], 0) == {"h0"}


def test_what_hangs_among_the_usual_ones_calls_more_workers() -> None:
    probe = Doors()
    probe.hanging = {"h0", "h1"}
    with asks(probe, workers=8) as prober:
        names = [EnvironmentName(f"e{number}") for number in range(30)]
        for name in (*sorted(probe.hanging), *names):
            prober.expect(now_check(name, proven=True))
        assert prober.settle(names, 15) == frozenset()


def test_a_probe_with_a_bug_is_told_and_harms_nobody_else() -> None:
    probe = Doors()
    probe.answers["a"] = KeyError("hunter2")
    with asks(probe, workers=1) as prober:
        broken, other = now_check("a", failures=1, every="1s"), now_check("b")
        prober.expect(broken)
        prober.expect(other)
        soon(lambda: prober.expect(other).state is HealthState.HEALTHY)
        soon(lambda: prober.expect(broken).message == "the check itself failed: KeyError")


def test_a_kind_that_there_is_no_probe_for_is_told() -> None:
    with asks(Doors()) as prober:
        spec = HealthSpec.model_validate({"http": "http://127.0.0.1/"})
        asked = replace(now_check("a"), spec=spec)
        prober.expect(asked)
        soon(lambda: prober.expect(asked).message == "there is no probe of the kind http")


def test_what_is_forgotten_is_left_alone_and_counts_as_known() -> None:
    probe = Doors()
    probe.hanging = {"a"}
    with asks(probe) as prober:
        prober.expect(now_check("a"))
        soon(lambda: probe.asked == ["a"])
        prober.forget(EnvironmentName("a"))
        assert prober.settle([EnvironmentName("a"), EnvironmentName("never heard of")], 0) == frozenset()


def test_workers_without_work_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "IDLE_SECONDS", 0.1)
    probe = Doors()
    probe.hanging = {f"h{number}" for number in range(4)}
    with asks(probe, workers=4) as prober:
        for name in sorted(probe.hanging):
            prober.expect(now_check(name, every="1h"))
        soon(lambda: len(probe.asked) == 4)
        probe.open.set()
        soon(lambda: not prober._workers)
        prober.expect(now_check("late"))
        assert prober.settle([EnvironmentName("late")], 30) == frozenset()


def test_no_more_are_asked_at_once_than_the_bound_says() -> None:
    probe = Doors()
    probe.hanging = {f"h{number}" for number in range(20)}
    with asks(probe, workers=3) as prober:
        for name in sorted(probe.hanging):
            prober.expect(now_check(name))
        soon(lambda: len(probe.asked) == 3)
        assert len(prober._workers) == 3
        assert prober._rota.ready is False


def test_a_stop_does_not_wait_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "STOP_SECONDS", 0.05)
    probe = Doors()
    probe.hanging = {"a"}
    with asks(probe) as prober:
        prober.expect(now_check("a"))
        soon(lambda: probe.asked == ["a"])
        prober.stop()
        prober.expect(now_check("b"))
        assert probe.asked == ["a"]


# --- for who only looks -------------------------------------------------------------------------------------


class _Statuses:
    def __init__(self, *statuses: Status) -> None:
        self._statuses = {status.environment: status for status in statuses}
        self.reads = 0

    def statuses(self) -> dict[EnvironmentName, Status]:
        self.reads += 1
        return self._statuses


def status(health: Health, reason: Reason | None = None, live: str = "17-abc") -> Status:
    release = Release(live, RunId(17), factories.sha256(b"x"))
    said = (reason, "answered 503", "", Declared(None), release, None, ())
    return Status(EnvironmentName("a"), Sync.SYNCED, health, *said, since=NOON)


@pytest.mark.parametrize(
    ("remembered", "proven", "state"),
    [
        pytest.param(status(Health.HEALTHY), True, HealthState.HEALTHY, id="healthy"),
        pytest.param(status(Health.HEALTHY), False, HealthState.HEALTHY, id="healthy for the first time"),
        pytest.param(status(Health.HEALTHY, live="18-def"), True, HealthState.WAITING, id="another one was live"),
        pytest.param(status(Health.DEGRADED, Reason.HEALTH_CHECK_FAILED), True, HealthState.UNHEALTHY, id="unhealthy"),
        pytest.param(status(Health.DEGRADED, Reason.HEALTH_CHECK_FAILED), False, HealthState.FAILED, id="failed"),
        pytest.param(status(Health.DEGRADED, Reason.REVOKED), True, HealthState.WAITING, id="degraded otherwise"),
        pytest.param(status(Health.PROGRESSING), False, HealthState.WAITING, id="on its way"),
    ],
)
def test_who_only_looks_believes_the_memory(remembered: Status, proven: bool, state: HealthState) -> None:
    checks = Remembered(_Statuses(remembered))  # type: ignore[arg-type]
    assert checks.expect(check("a", proven=proven)).state is state


def test_what_nobody_remembers_is_waited_for_and_the_memory_is_read_once() -> None:
    store = _Statuses()
    checks = Remembered(store)  # type: ignore[arg-type]
    for name in "abc":
        assert checks.expect(check(name)).state is HealthState.WAITING
        checks.forget(EnvironmentName(name))
    assert store.reads == 1
