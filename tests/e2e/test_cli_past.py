"""`describe --at`: which bytes ran at a time that has passed, who let them in, and what the record does not prove."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.memory import place
from reconciler.cli.past import instant
from reconciler.settings import load
from tests.cliworld import CliWorld
from tests.factories import sha256

NAME = "prod"


class Cut(BaseException):
    """The power goes."""


def cut_at(step: str) -> Callable[[str], None]:
    def trace(found: str) -> None:
        if found == step:
            raise Cut

    return trace


def cut(world: CliWorld, step: str) -> None:
    with pytest.raises(Cut):
        world.site.reconcile(cut_at(step))


def now() -> str:
    return datetime.now(UTC).isoformat()


def just_before(text: str) -> str:
    return (datetime.fromisoformat(text) - timedelta(microseconds=1)).isoformat()


def describe(world: CliWorld, at: str) -> Any:
    result = world("describe", NAME, "--at", at, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return world.json("describe", NAME, "--at", at)


def attempts(world: CliWorld) -> list[Any]:
    """Oldest first."""
    return list(reversed(world.json("history", NAME)["items"]))


def declare(world: CliWorld, run: int, keep: int = 3) -> None:
    text = world.site.declaration(NAME, run).replace("keep: 3", f"keep: {keep}")
    world.site.merge({f"environments/{NAME}.yaml": text})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> CliWorld:
    """101 deployed, then 102; a file changed by hand, repaired; another setting accepted; 101 pushed, and refused."""
    world = CliWorld(tmp_path_factory.mktemp("past"))
    site = world.site
    for run in (101, 102):
        site.publish(run)
        declare(world, run)
        site.reconcile()
    (site.live / NAME / "current").resolve().joinpath("lib/0.txt").write_bytes(b"by hand")
    site.reconcile()
    declare(world, 102, keep=4)
    site.reconcile()
    site.push(NAME, 101)
    site.reconcile()
    return world


def test_the_past_tells_the_bytes_and_who_let_them_in(told: CliWorld) -> None:
    first, second, *_ = attempts(told)
    before, after = describe(told, just_before(second["finished"])), describe(told, second["finished"])
    assert before["environment"]["live"]["sha256"] == sha256(told.site.artifact(101))
    live = after["environment"]["live"]
    assert (live["runId"], live["sha256"]) == (102, sha256(told.site.artifact(102)))
    assert (live["since"], live["approvers"]) == (second["finished"], ["reviewer@example.com"])
    assert live["request"].startswith("merge ")
    assert after["environment"]["declared"]["commit"] == second["declared"]["commit"]
    assert after["deployment"]["gates"] == second["gates"]
    assert (after["proven"], after["unproven"]) == (True, [])
    assert describe(told, first["finished"])["environment"]["sync"] == "Synced"


def test_while_an_attempt_is_under_way_it_is_not_proven_what_is_live(told: CliWorld) -> None:
    _, second, *_ = attempts(told)
    found = describe(told, just_before(second["finished"]))
    assert not found["proven"]
    assert "attempt 2 (deploy of run 102)" in found["unproven"][0]
    assert [one["id"] for one in found["attempts"]] == [2]
    assert describe(told, just_before(second["started"]))["proven"]


def test_the_past_keeps_the_deployment_apart_from_the_declaration_that_was_in_force(told: CliWorld) -> None:
    _, deploy, repair, accept, refused = attempts(told)
    repaired, accepted = describe(told, repair["finished"]), describe(told, refused["finished"])
    assert [one["id"] for one in repaired["repairs"]] == [repair["id"]]
    assert repaired["inForce"]["id"] == repaired["deployment"]["id"] == deploy["id"]
    assert (accepted["inForce"]["id"], accepted["deployment"]["id"]) == (accept["id"], deploy["id"])
    assert accepted["environment"]["live"]["since"] == deploy["finished"]
    assert accepted["environment"]["live"]["release"] == accept["before"]
    assert describe(told, accept["finished"])["environment"]["live"]["release"] == accept["before"]
    assert accepted["environment"]["declared"]["commit"] == accept["declared"]["commit"]
    assert (accepted["environment"]["sync"], accepted["environment"]["reason"]) == ("Held", "ApprovalMissing")
    assert accepted["proven"]


def test_the_numbers_of_audit_entries_are_those_of_the_export(told: CliWorld) -> None:
    lines = [json.loads(line) for line in told("audit", "export").stdout.splitlines()][:-1]
    found = describe(told, now())
    for one in (found["inForce"], found["deployment"], *found["repairs"]):
        assert [line["seq"] for line in lines if line["attempt"] == one["id"]] == one["auditEntries"]
        assert len(one["auditEntries"]) == 2


def test_a_person_reads_the_answer_first_then_the_evidence(told: CliWorld) -> None:
    lines = told("describe", NAME, "--at", now()).stdout.splitlines()
    assert lines[0].startswith("prod ran run 102 at 20")
    assert "as far as" not in lines[0]
    text = "\n".join(lines)
    assert f"run 102, sha256 {sha256(told.site.artifact(102))}" in text
    assert "attempt 2 (deploy, succeeded), audit entries 3 and 4" in text
    assert "Approved by   reviewer@example.com (merge " in text
    assert "drift: content lib/0.txt" in text
    assert "State         Held, Healthy since " in text
    assert "Gates of attempt 4 (accept), as they were recorded" in text
    assert "Gates of attempt 2 (deploy), as they were recorded" in text
    assert "run 102 of acme/shop: build.yml, push on main" in text


def test_before_the_first_deployment_nothing_is_known_and_the_answer_says_where_the_memory_begins(
    told: CliWorld,
) -> None:
    first, *_ = attempts(told)
    result = told("describe", NAME, "--at", "2020-01-01 00:00")
    assert (result.exit_code, result.stdout) == (8, "")
    assert "nothing is known to have been live in prod at 2020-01-01 00:00:00Z" in result.stderr
    assert "hint: this memory begins at 20" in result.stderr
    began = told("describe", NAME, "--at", first["started"])
    assert began.exit_code == 8
    assert "attempt 1 (deploy of run 101) had begun" in began.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("yesterday", "'yesterday' is not a time", id="words"),
        pytest.param("2026-11-22", "is not a time", id="a day"),
        pytest.param("2026-02-30T10:00", "is not a time", id="a day that no calendar has"),
        pytest.param("2026-01-01T10:00+99:99", "is not a time", id="an offset that no clock has"),
        pytest.param("0001-01-01T00:00+10:00", "is not a time", id="a time before all times"),
        pytest.param("9999-12-31T23:59Z", "9999-12-31T23:59:00Z is still to come", id="the future"),
    ],
)
def test_refused_as_a_time(told: CliWorld, text: str, said: str) -> None:
    result = told("describe", NAME, "--at", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T14:05Z",
        "2026-11-22 14:05",
        "2026-11-22 14:05:00Z",
        "2026-11-22t15:05+01:00",
        "2026-11-22T09:05-0500",
    ],
)
def test_a_time_without_a_zone_is_in_utc(text: str) -> None:
    assert instant(text) == datetime(2026, 11, 22, 14, 5, tzinfo=UTC)


def test_an_environment_that_nobody_knows_is_a_usage_error(told: CliWorld) -> None:
    result = told("describe", "prd", "--at", now())
    assert (result.exit_code, "did you mean prod?" in result.stderr) == (2, True)


# --- what the record does not prove --------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> CliWorld:
    """101 deployed, 102 declared."""
    world = CliWorld(tmp_path)
    for run in (101, 102):
        world.site.publish(run)
    declare(world, 101)
    world.site.reconcile()
    declare(world, 102)
    return world


def test_an_interrupted_deployment_that_had_switched_is_told_once_somebody_looked(world: CliWorld) -> None:
    cut(world, "store:outcome")
    meanwhile = now()
    found = describe(world, meanwhile)
    assert not found["proven"]
    assert found["environment"]["live"]["runId"] == 101
    assert world("describe", NAME, "--at", meanwhile).stdout.splitlines()[0].endswith(", as far as the record tells")
    world.site.reconcile()
    assert [one["outcome"] for one in attempts(world)][1] == "interrupted"
    found = describe(world, now())
    assert (found["environment"]["live"]["runId"], found["inForce"]["outcome"]) == (102, "interrupted")
    assert found["environment"]["live"]["approvers"] == ["reviewer@example.com"]
    assert found["proven"]
    still = describe(world, meanwhile)
    assert (still["environment"]["live"]["runId"], still["proven"]) == (101, False)


def test_an_interrupted_deployment_that_had_not_switched_leaves_what_was_live(world: CliWorld) -> None:
    steps: list[str] = []

    def before_the_switch(step: str) -> None:
        if step.startswith("target:") and "store:intent" in steps:
            raise Cut
        steps.append(step)

    with pytest.raises(Cut):
        world.site.reconcile(before_the_switch)
    world("suspend", NAME, "--reason", "tests")
    world.site.reconcile()
    assert [one["outcome"] for one in attempts(world)] == ["succeeded", "interrupted", "refused"]
    found = describe(world, now())
    assert (found["environment"]["live"]["runId"], found["proven"]) == (101, True)
    assert [one["outcome"] for one in found["attempts"]] == ["interrupted"]


def test_a_release_that_no_attempt_put_there_is_told(world: CliWorld) -> None:
    world.site.reconcile()
    current = world.site.live / NAME / "current"
    first = next(one for one in (world.site.live / NAME / "releases").iterdir() if one.name.startswith("101-"))
    current.unlink()
    current.symlink_to(f"releases/{first.name}")
    world.site.reconcile()
    third = attempts(world)[-1]
    found = describe(world, just_before(third["finished"]))
    assert not found["proven"]
    assert any(f"{first.name} was seen live at" in what for what in found["unproven"])


def test_a_memory_that_was_edited_beside_its_audit_chain_is_told(world: CliWorld) -> None:
    other = sha256(b"other bytes")
    with closing(sqlite3.connect(place(load(world.site.settings_file)))) as database, database:
        database.execute("UPDATE attempts SET sha256 = ? WHERE id = 1", (other,))
    found = describe(world, now())
    assert found["environment"]["live"]["sha256"] == other
    assert not found["proven"]
    assert "audit entry 2 says something else of attempt 1 than the memory beside it" in found["unproven"]


def test_an_environment_that_is_gone_from_the_branch_still_has_its_past(world: CliWorld) -> None:
    world.site.reconcile()
    with closing(sqlite3.connect(place(load(world.site.settings_file)))) as database, database:
        database.execute("DELETE FROM statuses")
        database.execute("DELETE FROM transitions")
    found = describe(world, now())
    assert (found["environment"]["live"]["runId"], found["environment"]["sync"]) == (102, None)
    assert "State         no longer remembered" in world("describe", NAME, "--at", now()).stdout


def test_the_keys_of_a_description_of_the_past_are_a_contract(told: CliWorld) -> None:
    found = describe(told, now())
    assert (found.pop("apiVersion"), found.pop("kind")) == ("reconciler/v1", "Description")
    assert set(found) == {
        "at",
        "environment",
        "proven",
        "unproven",
        "inForce",
        "deployment",
        "repairs",
        "attempts",
    }
    state = {"name", "sync", "health", "reason", "message", "since", "declared", "live"}
    assert set(found["environment"]) == state
    assert set(found["environment"]["live"]) == {"release", "runId", "sha256", "since", "request", "approvers"}
    assert set(found["inForce"]) - set(attempts(told)[0]) == {"auditEntries"}
