"""Where a pass's time goes, and what a scrape says: parsed as Prometheus would, every name and value on our list."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from reconciler.errors import Reason, Terminal, Transient
from reconciler.forges.github import create
from reconciler.git import Mirror
from reconciler.metrics.families import FAMILIES, VALUES
from reconciler.metrics.figures import Figures, Sources
from reconciler.metrics.passes import Done, Passes, Stage, stage_of
from reconciler.model import (
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    Outcome,
    Readiness,
    Release,
    RunId,
    Status,
    Sync,
    Verdict,
)
from tests.adapters.githubs import always, says
from tests.adapters.runs import parts
from tests.adapters.servers import ScriptedServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHA = Digest("b" * 64)
DECLARED = Declared(CommitId("a" * 40), RunId(8), SHA)
WELL = Status(
    environment=EnvironmentName("dev"),
    sync=Sync.SYNCED,
    health=Health.HEALTHY,
    reason=None,
    message="a secret message",
    hint="a secret hint",
    declared=DECLARED,
    live=Release("7-bbbbbbbbbbbb", RunId(7), SHA),
    live_since=NOW,
    gates=(GateResult(Gate.APPROVAL, Verdict.PASSED),),
)
HELD = replace(
    WELL,
    environment=EnvironmentName("prod"),
    sync=Sync.HELD,
    health=Health.DEGRADED,
    reason=Reason.SOAKING,
    gates=(*WELL.gates, GateResult(Gate.PROMOTION, Verdict.HELD, reason=Reason.SOAKING)),
    drift=(Drift("a", DriftKind.CONTENT, "1", "2"), Drift("b", DriftKind.MODE, "1", "2")),
    rollback=Readiness("6-cccccccccccc", ready=False, why="it is gone"),
)
ATTEMPT = Attempt(EnvironmentName("prod"), Action.DEPLOY, DECLARED, None, NOW)


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


class World:
    """Figures, and what they read."""

    def __init__(self, *statuses: Status, each: bool = True) -> None:
        self.statuses = {status.environment: status for status in statuses}
        self.clock = Clock()
        self.asked = 0
        self.figures = Figures(self.clock, each=each)
        self.figures.read_from(Sources(self._statuses, lambda: 3, lambda: 2, 8, lambda: 40, lambda: 50, self._probes))

    def _statuses(self) -> Mapping[EnvironmentName, Status]:
        self.asked += 1
        return dict(self.statuses)

    @staticmethod
    def _probes() -> Mapping[bool, int]:
        return {True: 5, False: 1}

    def families(self) -> dict[str, Metric]:
        self.clock.seconds += 10
        return {family.name: family for family in text_string_to_metric_families(self.figures.scrape().decode())}

    def value(self, name: str, **labels: str) -> float:
        (value,) = self.values(name, **labels)
        return value

    def values(self, name: str, **labels: str) -> list[float]:
        samples = [sample for family in self.families().values() for sample in family.samples]
        return [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]


def busy(world: World) -> World:
    """Told of everything at least once."""
    done = Done(
        "x-1",
        0.3,
        {Stage.FETCH: 0.2},
        (replace(ATTEMPT, outcome=Outcome.SUCCEEDED, finished=NOW + timedelta(seconds=4)),),
    )
    world.figures.passed(WELL, None, done)
    world.figures.passed(WELL, None, Done("x-1", 0.0, {}, (ATTEMPT,)))  # still open: counted by its end
    failed = replace(ATTEMPT, outcome=Outcome.FAILED, reason=Reason.DIGEST_MISMATCH, message="a secret message")
    world.figures.passed(HELD, KeyError("a secret"), Done("x-2", 0.1, {}, (failed,)))
    refused = replace(failed, outcome=Outcome.REFUSED, finished=NOW)
    world.figures.passed(HELD, None, Done("x-3", 0.1, {}, (refused,)))
    world.figures.looked(None, 0.05, chore=False)
    world.figures.looked(Transient(Reason.REPOSITORY_UNAVAILABLE, "a secret"), 2.0, chore=False)
    world.figures.looked(KeyError("a secret"), None, chore=False)
    world.figures.looked(Terminal(Reason.CUSTODY_UNAVAILABLE, "a secret"), None, chore=True)
    return world


# --- the pass ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "stage"),
    {
        "custody:verify": Stage.VERIFY,
        "custody:fetch": Stage.FETCH,
        "custody:write": Stage.FETCH,
        "store:intent": Stage.RECORD,
        "target:unpack": Stage.RELEASE,
        "target:switch:link": Stage.SWITCH,
        "target:accept:write": Stage.RECORD,
        "target:deliver:settle": Stage.ACTIVATE,
        "target:remember:write": Stage.RECORD,
        "git cat-file": None,
    }.items(),
)
def test_a_step_belongs_to_a_stage(step: str, stage: Stage | None) -> None:
    assert stage_of(step) is stage


def run(passes: Passes, clock: Clock, *steps: str) -> Done:
    """A pass that takes a second before each step and one behind the last."""
    passes.began(EnvironmentName("dev"))
    for step in steps:
        clock.seconds += 1
        passes.step(step)
    clock.seconds += 1
    return passes.ended()


def test_the_time_of_a_pass_is_divided_among_its_stages() -> None:
    passes = Passes(clock := Clock(), "x")
    done = run(passes, clock, "git log", "custody:verify", "custody:fetch", "custody:write", "target:unpack", "git log")
    assert done.stages == {Stage.JUDGE: 2, Stage.VERIFY: 1, Stage.FETCH: 2, Stage.RELEASE: 2}
    assert done.seconds == sum(done.stages.values()) == 7


def test_a_pass_that_only_looked_or_wrote_it_down_has_no_stages() -> None:
    passes = Passes(clock := Clock(), "x")
    assert run(passes, clock, "git log", "store:status").stages == {}


def test_an_attempt_has_the_stages_of_its_own_and_not_those_of_the_one_before_it_in_the_pass() -> None:
    passes = Passes(clock := Clock(), "x")

    def steps(*names: str) -> None:
        for name in names:
            passes.step(name)
            clock.seconds += 1

    passes.began(EnvironmentName("dev"))
    steps("git log", "custody:fetch", "store:intent")
    passes.recorded(replace(ATTEMPT, id=1))
    steps("target:unpack", "target:switch", "store:outcome")
    first = passes.timed(replace(ATTEMPT, id=1, outcome=Outcome.FAILED))
    passes.recorded(replace(ATTEMPT, id=2))
    steps("target:switch")
    second = passes.timed(replace(ATTEMPT, id=2, outcome=Outcome.SUCCEEDED))
    other = passes.timed(replace(ATTEMPT, id=3, outcome=Outcome.INTERRUPTED))
    assert [(one.stage, one.seconds) for one in first.stages] == [("fetch", 1), ("release", 1), ("switch", 1)]
    assert [(one.stage, one.seconds) for one in second.stages] == [("switch", 1)]
    assert other.stages == ()  # begun by a process that is gone


def test_an_attempt_on_probation_has_its_wait_for_health_beside_what_the_pass_before_did() -> None:
    passes = Passes(clock := Clock(), "x")
    passes.began(EnvironmentName("dev"))
    passes.recorded(replace(ATTEMPT, id=1, outcome=None))
    passes.step("activation:start")
    clock.seconds += 2
    passes.ended()
    clock.seconds += 30
    passes.began(EnvironmentName("dev"))
    passes.step("target:remember")
    ended = passes.timed(replace(ATTEMPT, id=1, outcome=Outcome.SUCCEEDED))
    assert [(one.stage, one.seconds) for one in ended.stages] == [("activate", 2), ("health", 30)]
    assert passes.timed(replace(ATTEMPT, id=1)).stages == ()


def test_each_pass_has_its_own_id_time_and_attempts_also_beside_others() -> None:
    passes, both = Passes(clock := Clock(), "x"), threading.Barrier(2)

    def one(number: int) -> Done:
        passes.began(EnvironmentName("dev"))
        both.wait(10)
        passes.recorded(replace(ATTEMPT, id=number))
        assert passes.under_way == 2
        both.wait(10)
        return passes.ended()

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, (1, 2)))
    assert {done.id for done in found} == {"x-1", "x-2"}
    assert [[attempt.id for attempt in done.attempts] for done in found] == [[1], [2]]
    assert (passes.under_way, run(passes, clock).id) == (0, "x-3")


def test_an_attempt_that_begins_and_ends_in_one_pass_is_one() -> None:
    passes = Passes(Clock(), "x")
    passes.began(EnvironmentName("dev"))
    begun, other = replace(ATTEMPT, id=1), replace(ATTEMPT, id=2, action=Action.ROLLBACK)
    for one in (begun, replace(begun, outcome=Outcome.FAILED), other):
        passes.recorded(one)
    assert passes.ended().attempts == (replace(begun, outcome=Outcome.FAILED), other)


def test_what_comes_outside_of_a_pass_counts_for_none() -> None:
    passes = Passes(clock := Clock(), "x")
    passes.recorded(ATTEMPT)
    passes.step("target:switch")
    assert run(passes, clock) == Done("x-1", 1.0)
    assert passes.ended() == Done("", 0.0)


def test_a_look_is_timed_from_the_question_to_its_end_and_told_once() -> None:
    passes = Passes(clock := Clock(), "x")
    assert passes.looked() is None
    passes.step("git ls-remote")
    clock.seconds = 4
    passes.step("git fetch")
    assert passes.looked() == 4
    assert passes.looked() is None


# --- the scrape ----------------------------------------------------------------------------------


def test_every_name_label_and_value_is_on_the_list() -> None:
    known = {family.name.removesuffix("_total"): family for family in FAMILIES}
    found = {name: one for name, one in busy(World(WELL, HELD)).families().items() if not name.startswith("process_")}
    assert set(found) == set(known)
    for name, metric in found.items():
        family = known[name]
        assert metric.type == family.kind, name
        assert metric.documentation == family.says
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(family.labels), name
            for label, value in sample.labels.items():
                assert label == "le" or (allowed := VALUES[label]) is None or value in allowed, (name, label, value)


def test_names_follow_the_conventions_of_prometheus() -> None:
    for family in FAMILIES:
        assert family.name.startswith("reconciler_")
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert (family.kind == "histogram") <= family.name.endswith("_seconds"), family.name
        assert not {"le", "quantile", "job", "instance"} & set(family.labels), family.name
        assert family.says.endswith(".")


def test_nobody_s_text_is_in_it() -> None:
    assert "secret" not in busy(World(WELL, HELD)).figures.scrape().decode()


def test_it_says_where_each_environment_stands() -> None:
    world = World(WELL, HELD)
    samples = world.families()["reconciler_environment_info"].samples
    (dev,) = [one.labels for one in samples if one.labels["environment"] == "dev"]
    assert dev == {
        "environment": "dev",
        "sync_status": "Synced",
        "health_status": "Healthy",
        "reason": "",
        "run_id": "7",
        "declared_run_id": "8",
    }
    assert world.value("reconciler_environment_info", environment="prod", reason="Soaking") == 1
    assert world.value("reconciler_environment_held", environment="prod", gate="promotion", reason="Soaking") == 1
    assert world.value("reconciler_environment_drift_paths", environment="prod") == 2
    assert world.values("reconciler_environment_drift_paths", environment="dev") == []


def test_the_sums_are_over_all_environments_and_there_is_a_zero_where_none_is() -> None:
    world = World(WELL, HELD, replace(HELD, environment=EnvironmentName("qa")))
    assert world.value("reconciler_environments", sync_status="Held", health_status="Degraded") == 2
    assert world.value("reconciler_environments", sync_status="OutOfSync", health_status="Healthy") == 0
    assert sum(world.values("reconciler_environments")) == 3
    assert world.value("reconciler_gate_holds", gate="promotion", reason="Soaking") == 2
    assert world.value("reconciler_drift_paths", kind="content") == 2
    assert world.value("reconciler_drift_paths", kind="foreign") == 0
    assert world.value("reconciler_rollback_ready", ready="no") == 2
    assert world.value("reconciler_rollback_ready", ready="unknown") == 1


def test_gates_of_the_pass_before_an_unexpected_error_hold_nothing() -> None:
    world = World(replace(HELD, sync=Sync.UNKNOWN, reason=Reason.INTERNAL_ERROR))
    assert world.values("reconciler_gate_holds") == world.values("reconciler_environment_held") == []


def test_passes_attempts_and_looks_are_counted() -> None:
    world = busy(World(WELL))
    assert world.value("reconciler_passes_total", result="Synced") == 2
    assert world.value("reconciler_passes_total", result="Error") == 1
    assert world.value("reconciler_pass_duration_seconds_sum", result="Synced") == 0.3
    assert world.value("reconciler_stage_duration_seconds_count", stage="fetch") == 1
    assert world.value("reconciler_stage_duration_seconds_count", stage="switch") == 0
    assert sum(world.values("reconciler_attempts_total")) == 3
    assert world.value("reconciler_attempts_total", action="deploy", outcome="succeeded", reason="") == 1
    assert world.value("reconciler_attempts_total", action="deploy", outcome="failed", reason="DigestMismatch") == 1
    assert world.value("reconciler_attempt_duration_seconds_sum", outcome="succeeded") == 4
    assert world.values("reconciler_attempt_duration_seconds_count", outcome="refused") == []
    assert world.value("reconciler_poll_duration_seconds_count") == 2
    assert world.value("reconciler_poll_failures_total", reason="RepositoryUnavailable") == 1
    assert world.value("reconciler_poll_failures_total", reason="InternalError") == 1
    assert world.value("reconciler_chore_failures_total", reason="CustodyUnavailable") == 1
    assert world.value("reconciler_last_successful_poll_timestamp_seconds") == NOW.timestamp()
    assert world.value("reconciler_workers_busy") == 2
    assert world.value("reconciler_due_queue_length") == 3
    assert world.value("reconciler_forge_requests_total") == 50
    assert world.value("reconciler_health_probes_total", passed="no") == 1


def test_a_name_that_is_no_plain_text_reads_back_as_it_is() -> None:
    name = 'a"b\\n\n} 7\nreconciler_environments{x="\u202e'
    world = World(replace(HELD, environment=EnvironmentName(name)))
    for family in ("info", "held", "drift_paths"):
        (sample,) = world.families()[f"reconciler_environment_{family}"].samples
        assert sample.labels["environment"] == name


def test_the_totals_alone_name_no_environment_and_do_not_grow_with_them() -> None:
    many = [replace(HELD, environment=EnvironmentName(f"shop/{number}")) for number in range(50)]
    few, more = World(HELD, each=False), World(*many, each=False)
    assert not [name for name in few.families() if name.startswith("reconciler_environment_")]
    assert len(more.figures.scrape().splitlines()) == len(few.figures.scrape().splitlines())


def test_ten_thousand_environments_are_at_most_three_lines_each_read_at_once() -> None:
    names = [EnvironmentName(f"team-{number % 50}/service-{number}/prod") for number in range(10_000)]
    world = World(*(replace(HELD, environment=name) for name in names))
    world.clock.seconds = 10
    lines = world.figures.scrape().splitlines()
    bare = World(HELD, each=False).figures.scrape().splitlines()
    assert len(lines) - len(bare) <= 3 * (10_000 + 2)
    assert max(map(len, lines)) < 200
    assert world.asked == 1


def test_however_many_ask_within_a_second_it_is_made_once() -> None:
    world = World(WELL)
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: world.figures.scrape(), range(50)))
    assert (len(answers), world.asked) == (1, 1)
    world.clock.seconds += 1
    world.figures.scrape()
    assert world.asked == 2


def test_before_there_is_anything_to_read_there_is_an_answer() -> None:
    assert b"reconciler_build_info" in Figures(Clock(), each=True).scrape()


# --- what others count ---------------------------------------------------------------------------


def test_a_forge_tells_how_many_requests_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "a-token-of-this-test")
    with ScriptedServer(always(says([]))) as server:
        options = {"repository": "acme/deploy", "url": server.url, "token_env": "FORGE_TOKEN"}
        given = parts(tmp_path)
        mirror = Mirror(str(tmp_path), "main", "environments", tmp_path / "mirror", given.bounds, given.trace)
        forge = create(options, replace(given, repository=mirror, branch="main"))
        assert getattr(forge, "requests", None) == 0
        assert forge.pull_requests is not None
        assert forge.pull_requests.open() == ()
        assert getattr(forge, "requests", None) == len(server.requests) == 1
