"""What people are told of a release that comes to life, or does not: a command starts it, another says how it is."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from reconciler.cli import lives
from reconciler.cli.past import recall
from reconciler.cli.render import Page
from reconciler.cli.story import summary, what_to_do
from reconciler.errors import Reason
from reconciler.model import Action, Health, OperatorHand, Readiness, RunId, Status, Sync
from reconciler.settings import load
from reconciler.wiring import open_store
from tests.archives import zip_of
from tests.cliworld import CliWorld
from tests.factories import sha256
from tests.site import environment
from tests.supervisord import supervisord

PROD = environment("prod")
SECRET = "canary-of-the-command-line"
PLAIN = "plain-and-yet-unseen"


def files(run: int, *, healthy: bool = True) -> bytes:
    restart = f'#!/bin/sh\n. "$RECONCILER_ENVIRONMENT_FILE"\necho "starting run {run} with $TOKEN"\n'
    check = f"#!/bin/sh\necho run {run} is {'well' if healthy else 'ill'}\nexit {0 if healthy else 1}\n"
    content = {"restart": restart.encode(), "check": check.encode(), "version": str(run).encode()}
    return zip_of(content, {"restart": 0o755, "check": 0o755})


class Living(CliWorld):
    """One environment whose release is started by `./restart` and asked by `./check`. Run 102 is never healthy."""

    def __init__(self, folder: Path, **settings: object) -> None:
        token = folder / "token"
        folder.mkdir(exist_ok=True)
        token.write_text(SECRET)
        token.chmod(0o600)
        rules = {
            "activators": {"command": {"allow": [{"argv": ["./restart"], "environments": ["*"]}]}},
            "probes": {"command": {"allow": [{"argv": ["./check"], "environments": ["*"]}]}},
            "secrets": {"allow": [{"environments": ["prod"], "files": [str(token)]}]},
        }
        super().__init__(folder, **{**rules, **settings})
        self.rules = rules
        self.token = token
        self.artifacts = {run: files(run, healthy=run != 102) for run in (101, 102, 103)}
        for run, data in self.artifacts.items():
            self.site.publish(run, data)

    def file(self, run: int, **changes: object) -> str:
        document = yaml.safe_load(self.site.declaration("prod", run, sha=sha256(self.artifacts[run])))
        document |= {
            "activate": {"command": ["./restart"]},
            "config": {"GREETING": "hello"},
            "secrets": {"TOKEN": {"file": str(self.token)}},
            "health": {"command": ["./check"], "within": "1s"},
        }
        return yaml.safe_dump({**document, **changes}, sort_keys=False)

    def declare(self, run: int, **changes: object) -> None:
        self.site.merge({"environments/prod.yaml": self.file(run, **changes)})

    def plan(self, text: str, *arguments: str) -> str:
        git = self.site.git.switch("main")
        git.branch(f"proposal-{len(git.git('branch').splitlines())}").write("environments/prod.yaml", text)
        git.commit(self.site.engineer, "Propose", sign=True)
        result = self("plan", "--repo", str(git.work), *arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def status(self) -> Status:
        with closing(open_store(load(self.site.settings_file))) as store:
            return store.statuses()[PROD]


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Living:
    """Run 101 was healthy; run 102 was let in, was not, and was rolled back."""
    world = Living(tmp_path_factory.mktemp("back"))
    world.declare(101)
    assert world("reconcile").exit_code == 0
    world.declare(102)
    assert world("reconcile").exit_code == 3
    return world


def test_why_tells_what_failed_and_what_is_live_again(back: Living) -> None:
    out = back("why", "prod").stdout
    assert out.startswith("prod is Held by the gate health: HealthCheckFailed; run 101 is live again\n")
    happened = out.partition("What happened\n")[2].partition("\n\n")[0]
    assert "run 102 failed: attempt 2 (deploy)" in happened
    assert "did not become healthy within 1s: ended with 1" in happened
    assert "run 101 was brought back by itself" in happened
    assert ": attempt 3 (rollback)" in happened
    assert "after it was activated" in happened.splitlines()[-1]


def test_the_change_of_state_itself_says_what_is_live_again(back: Living) -> None:
    told = back.json("events", "prod")["items"][-1]["message"]
    assert re.search(r"within 1s: ended with 1 .*; 101-[0-9a-f]{12} is live again$", told)


def test_what_to_do_names_retry_once(back: Living) -> None:
    told = back("why", "prod").stdout.partition("What to do")[2].splitlines()[0]
    assert told.count("reconciler retry") == 1


def test_history_tells_a_rollback_by_itself_from_one_that_people_declared(back: Living) -> None:
    assert "rollback (automatic)" in back("history", "prod").stdout
    items = back.json("history", "prod")["items"]
    assert [(item["action"], item["automatic"]) for item in items] == [
        ("rollback", True),
        ("deploy", False),
        ("deploy", False),
    ]


def test_a_rollback_that_people_declared_is_not_called_automatic(tmp_path: Path) -> None:
    world = Living(tmp_path)
    for run in (101, 103, 101):
        world.declare(run)
        assert world("reconcile").exit_code == 0
    newest, *_ = world.json("history", "prod")["items"]
    assert (newest["action"], newest["automatic"], newest["outcome"]) == ("rollback", False, "succeeded")
    assert "What happened" not in world("why", "prod").stdout


def test_the_output_of_the_activation_is_kept_without_its_secrets(back: Living) -> None:
    items = back.json("history", "prod")["items"]
    assert items[1]["output"].strip() == "starting run 102 with ***"
    page = back("describe", "prod").stdout
    assert "Output of the activation of run 102 in attempt 2\n  starting run 102 with ***\n" in page
    for command in (("get",), ("why", "prod"), ("describe", "prod"), ("history", "--all"), ("events",)):
        for output in ("wide", "json", "yaml"):
            assert SECRET not in back(*command, "-o", output).stdout


def test_a_long_output_ends_with_its_last_lines_on_a_page(back: Living, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(load(back.site.settings_file))) as store:
        (attempt,) = store.attempts(PROD, 1)
        status = store.statuses()[PROD]
    long = replace(attempt, output="\n".join(f"line {n}" for n in range(100)))
    lives.tell_output(Page(), replace(status, reason=None), [long])
    shown = capsys.readouterr().out.splitlines()
    assert (shown[2], shown[-1], len(shown)) == (
        "  … 80 lines before; all that was kept: -o json",
        "  line 99",
        23,
    )


@pytest.mark.parametrize(
    ("found", "cell", "document"),
    [
        (None, "-", None),
        (Readiness("101-x", ready=True), "ready 101-x", {"release": "101-x", "ready": True, "why": None}),
        (
            Readiness("101-x", ready=False, why="2 files differ"),
            "no: 2 files differ",
            {"release": "101-x", "ready": False, "why": "2 files differ"},
        ),
    ],
    ids=["nobody looked yet", "it would", "it would not"],
)
def test_wide_tells_whether_a_rollback_would_work(
    tmp_path: Path, found: Readiness | None, cell: str, document: object
) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    world.site.declare("prod", 101, approval="none")
    world("reconcile")
    with closing(open_store(load(world.site.settings_file))) as store:
        status = replace(store.statuses()[PROD], rollback=found)
        store.save(status, status.since or status.live_since)  # type: ignore[arg-type]
    header, row = world("get", "-o", "wide").stdout.splitlines()
    assert row[header.index("ROLLBACK") :].startswith(cell)
    assert world.json("get")["items"][0]["rollback"] == document
    told = world("why", "prod").stdout
    assert ("  Rollback " in told) is (found is not None)
    if found:
        assert ("would work: 101-x is kept" in told) is found.ready
        assert (f"would not work: {found.why}" in told) is not found.ready


def test_while_its_checks_decide_it_says_so_and_that_there_is_nothing_to_do(back: Living) -> None:
    status = replace(back.status(), sync=Sync.SYNCED, health=Health.PROGRESSING, reason=None, hint="")
    told = summary(status, OperatorHand())
    assert told == "prod is Synced, but Progressing: run 101 is live, and has to become healthy in time"
    assert what_to_do(status) == "wait: its first health checks decide"


def test_what_is_live_and_not_well_any_more_is_told_as_such(back: Living) -> None:
    status = replace(back.status(), sync=Sync.SYNCED, health=Health.DEGRADED, reason=Reason.HEALTH_CHECK_FAILED)
    status = replace(status, declared=replace(status.declared, run_id=RunId(101), sha256=sha256(back.artifacts[101])))
    assert summary(status, OperatorHand()) == "prod is Synced, but Degraded; run 101 is live"


def test_what_came_after_the_rollback_is_not_taken_for_it(back: Living, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(load(back.site.settings_file))) as store:
        attempts, status = store.attempts(PROD, 10), store.statuses()[PROD]
    later = replace(attempts[0], id=9, action=Action.REPAIR)
    lives.tell_failure(Page(), status, (later, *attempts))
    assert "attempt 3 (rollback)" in capsys.readouterr().out


def test_what_is_held_and_stays_live_is_not_called_live_again(back: Living) -> None:
    soaking = replace(back.status(), reason=Reason.SOAKING)
    assert summary(soaking, OperatorHand()).endswith("; run 101 stays live")


def test_what_failed_and_is_left_live_is_not_called_rolled_back(tmp_path: Path) -> None:
    world = Living(tmp_path)
    world.declare(101)
    world("reconcile")
    world.declare(102, rollback="hold")
    world("reconcile")
    out = world("why", "prod").stdout
    assert out.startswith("prod is Held by the gate health: HealthCheckFailed; run 102 is live\n")
    assert "nothing was rolled back: 102-" in out


def test_retry_covers_what_was_rolled_back(tmp_path: Path) -> None:
    world = Living(tmp_path)
    world.declare(101)
    world("reconcile")
    world.declare(102)
    world("reconcile")
    count = len(world.json("history", "prod")["items"])
    world("reconcile")
    assert len(world.json("history", "prod")["items"]) == count
    assert world("retry", "prod").stdout == "prod is tried again\n"
    world("reconcile")
    again = world.json("history", "prod")["items"][: -count or None]
    assert [(item["action"], item["declared"]["runId"]) for item in again] == [("rollback", 101), ("deploy", 102)]


def test_the_past_knows_what_ran_on_probation(back: Living) -> None:
    with closing(open_store(load(back.site.settings_file))) as store:
        seen = next(one for one in store.transitions(PROD) if one.live.startswith("102-"))
        past = recall(store, PROD, seen.at + timedelta(microseconds=1))
    assert past is not None
    assert past.force.declared.run_id == 102
    assert past.unproven == ()


# --- diff ----------------------------------------------------------------------------------------


def test_diff_names_what_was_delivered_and_is_not_there_any_more(tmp_path: Path) -> None:
    world = Living(tmp_path)
    world.declare(101)
    world("reconcile")
    assert world("diff", "prod", "--exit-code").exit_code == 0
    delivered = world.site.live / "prod" / ".reconciler" / "environment"
    delivered.write_text("TOKEN=stolen\n")
    assert [item["path"] for item in world.json("diff", "prod")["drift"]] == [".reconciler/environment"]
    assert SECRET not in world("diff", "prod").stdout
    delivered.unlink()
    out = world("diff", "prod", "--exit-code")
    assert out.exit_code == 1
    assert ".reconciler/environment" in out.stdout


def test_diff_asks_the_unit_itself(tmp_path: Path) -> None:
    with supervisord(tmp_path, {"shop": {"command": "sleep 1000"}}) as server:
        allow = [{"programs": ["shop"], "environments": ["*"]}]
        world = Living(tmp_path / "site", activators={"supervisor": {"url": server.url, "allow": allow}})
        world.declare(101, activate={"supervisor": "shop"})
        assert world("reconcile").exit_code == 0
        assert world("diff", "prod", "--exit-code").exit_code == 0
        server.tell("stop", "shop")
        (drift,) = world.json("diff", "prod")["drift"]
        assert (drift["path"], drift["kind"], drift["expected"]) == ("shop", "unit", "running")
        assert "STOPPED" in drift["found"]
        assert checks(world)["activators.supervisor"][1].startswith("supervisord ")
    assert not checks(world)["activators.supervisor"][0]


# --- plan ----------------------------------------------------------------------------------------


def test_a_plan_says_how_a_run_comes_to_life_and_what_follows_when_it_does_not(back: Living) -> None:
    text = back.plan(back.file(103))
    merge = next(line for line in text.splitlines() if line.startswith("  On merge"))
    assert "; then activates it (command ./restart) and gives it 1s to pass its health check (command ./check)" in merge
    failure = next(line for line in text.splitlines() if line.startswith("  On failure"))
    assert failure.count("101-") == 2
    assert "is brought back by itself, and this is not tried again until its file changes" in failure


def test_a_plan_says_when_nothing_goes_back_by_itself(back: Living) -> None:
    text = back.plan(back.file(103, rollback="hold"))
    assert "it stays so, Degraded, for people to look at: rollback is set to hold" in text


def test_a_plan_of_other_settings_names_them_and_shows_no_value(tmp_path: Path) -> None:
    world = Living(tmp_path)
    world.declare(101)
    world("reconcile")
    other = {"TOKEN": {"env": "ANOTHER"}, "MORE": {"file": "/run/secrets/more"}}
    changed = world.file(101, config={"GREETING": PLAIN, "PORT": PLAIN}, secrets=other)
    told = json.loads(world.plan(changed, "-o", "json"))["environments"][0]
    assert told["action"] == "activate"
    assert told["running"] == {
        "activation": "command ./restart",
        "health": "command ./check",
        "within": "1s",
        "good": told["live"]["release"],
        "rollback": "auto",
    }
    assert "config GREETING, PORT and secrets MORE, TOKEN change" in told["onMerge"]
    assert "is activated by itself with the settings of before" in told["onFailure"]
    assert [(item["path"], item["before"], item["after"]) for item in told["settings"]] == [
        ("config.GREETING", "a value", "another value"),
        ("config.PORT", None, "a value"),
        ("secrets.MORE", None, "a reference"),
        ("secrets.TOKEN", "a reference", "another reference"),
    ]
    text, markdown = world.plan(changed), world.plan(changed, "-o", "markdown")
    assert "prod: activate anew (config GREETING, PORT; secrets MORE, TOKEN), run 101" in text
    assert "| activate anew (config GREETING, PORT; secrets MORE, TOKEN) |" in markdown
    for shown in (text, markdown, json.dumps(told)):
        for hidden in (PLAIN, "hello", "ANOTHER", "/run/secrets", SECRET):
            assert hidden not in shown


# --- check ---------------------------------------------------------------------------------------


def checks(world: CliWorld) -> dict[str, tuple[bool, str]]:
    return {item["name"]: (item["ok"], item["message"]) for item in world.json("check")["items"]}


def test_check_names_the_environments_that_name_what_is_not_allowed(tmp_path: Path) -> None:
    world = Living(tmp_path)
    assert "environments" not in checks(world)
    world.declare(101)
    allowed = "what 1 environment would run and ask is allowed"
    assert checks(world)["environments"] == (True, allowed)
    assert not (tmp_path / "state").exists()
    world("reconcile")
    found = checks(world)
    assert found["environments"] == (True, allowed)
    assert found["secrets"] == (True, "1 rule, 0 files of age identities")
    assert found["activators.command"][0] and found["probes.command"][0]  # noqa: PT018
    for key, said in (("activators", "activation by command"), ("probes", "check"), ("secrets", "TOKEN")):
        world.site.configure(**{**world.rules, key: {}})
        ok, message = checks(world)["environments"]
        assert (ok, message.startswith("ActivationNotAllowed: prod: "), said in message) == (False, True, True)
    world.site.configure(**{**world.rules, "secrets": {"allow": [{"environments": ["prod"], "env": ["PROD_*"]}]}})
    world.declare(101, secrets={"TOKEN": {"env": "PROD_TOKEN"}})
    assert checks(world)["environments"] == (True, allowed)  # the daemon may have it, whatever this shell has
    world.site.configure(**world.rules)
    world.declare(101)
    world.token.unlink()
    ok, message = checks(world)["environments"]
    assert (ok, message.startswith("SecretMissing: prod: ")) == (False, True)


def test_check_finds_options_and_keys_that_can_t_be_used(tmp_path: Path) -> None:
    identity = tmp_path / "prod.agekey"
    world = Living(
        tmp_path,
        activators={"command": {"alow": []}},
        probes={"http": {"allow": [{"hosts": ["no port"], "environments": ["*"]}]}},
        secrets={"allow": [{"environments": ["prod"], "identities": [str(identity)]}]},
    )
    found = checks(world)
    failed = {name for name, (ok, _) in found.items() if not ok}
    assert failed == {"activators.command", "probes.http", "secrets"}
    assert "activators.command.alow" in found["activators.command"][1]
    assert "the identity is in a file that is not there" in found["secrets"][1] or str(identity) in found["secrets"][1]
