"""The log of the real daemon: one line for each change of state, with what it is about, and nothing in between."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.log import Changes, level_of, open_log
from reconciler.errors import Reason
from reconciler.metrics.passes import Done, Stage
from reconciler.model import Health, Status, Sync
from reconciler.settings import Settings
from tests.adapters.test_metrics import ATTEMPT, HELD, WELL
from tests.e2e.test_metrics import Watched
from tests.site import Site, eventually

PASSES = "reconciler_passes_total"
SKIPPED = "reconciler_passes_skipped_total"
TOKEN = "ghp_0123456789abcdefABCDEF0123456789abcd"


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line is an object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_deploy_drift_hold_and_repair_are_one_line_each(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    site, log, path = watched.site, tmp_path / "daemon.log", str(watched.site.live / "prod")
    site.configure(log_format="json", drift_seconds=0.1)

    def changes() -> list[dict[str, Any]]:
        return [line for line in lines(log) if line["event"] == "state changed"]

    with site.daemon():
        eventually(lambda: log.exists() and len(changes()) == 1)
        (site.live / "prod" / "current" / "lib/0.txt").write_bytes(b"by hand")
        eventually(lambda: len(changes()) == 2)
        held_at = site.push("shop/prod", 2, path=path)
        eventually(lambda: len(changes()) == 3)
        (site.live / "prod" / "current" / "bin/app").chmod(0o600)
        eventually(lambda: len(changes()) == 4)
        deployed_at = site.declare("shop/prod", 3, path=path)
        eventually(lambda: len(changes()) == 5)
        before = watched.value(PASSES) + watched.value(SKIPPED)
        eventually(lambda: watched.value(PASSES) + watched.value(SKIPPED) >= before + 5)  # and no line for any
    deploy, repair, hold, kept, last = changes()
    assert [(one["sync"], one["level"]) for one in (deploy, repair, hold, kept, last)] == [
        ("Synced", "info"),
        ("Synced", "info"),
        ("Held", "warning"),
        ("Held", "warning"),
        ("Synced", "info"),
    ]
    assert deploy["attempts"] == last["attempts"] == ["deploy succeeded"]
    assert repair["attempts"] == ["repair succeeded (drift: content lib/0.txt)"]
    assert kept["attempts"] == ["repair succeeded (drift: mode bin/app)"]
    assert repair["live"] == f"{deploy['live']}.2"
    assert (hold["reason"], hold["run_id"], hold["commit"]) == ("ApprovalMissing", 2, held_at)
    assert "attempts" not in hold
    assert (last["reason"], last["run_id"], last["commit"]) == (None, 3, deployed_at)
    assert {one["environment"] for one in changes()} == {"shop/prod"}
    ids = [one["pass_id"] for one in changes()]
    assert len(set(ids)) == 5
    assert len({one.partition("-")[0] for one in ids}) == 1
    assert [line["event"] for line in lines(log) if line["event"] != "state changed"] == ["started", "stopped"]


def test_a_token_in_a_file_that_somebody_pushed_is_masked(tmp_path: Path) -> None:
    site, log = Site(tmp_path), tmp_path / "daemon.log"
    site.git.direct_push(site.engineer, "environments/prod.yaml", f"version: 1\n{TOKEN}: x\n")
    with site.daemon():
        eventually(lambda: log.exists() and "InvalidDeclaration" in log.read_text())
    assert TOKEN not in log.read_text()
    assert "***" in log.read_text()


# --- lines ---------------------------------------------------------------------------------------


def told(format_: str, status: Status, previous: Status | None, done: Done, *, level: str = "info") -> str:
    with redirect_stderr(io.StringIO()) as log:
        settings = Settings.model_validate({"log_format": format_, "log_level": level})
        Changes(open_log(settings)).passed(status, previous, None, done)
    return log.getvalue()


def test_for_people_the_sentence_comes_first_and_what_is_not_there_is_left_out() -> None:
    line = told("console", WELL, None, Done("x-1", 0.1))
    assert "dev is Synced, Healthy: a secret message" in line
    assert "commit=aaaaaaaaaaaa " in line
    assert "pass_id=x-1" in line
    assert "live=7-bbbbbbbbbbbb" in line
    assert "None" not in line
    assert "live=" not in told("console", replace(WELL, message="7-bbbbbbbbbbbb is live"), None, Done("x-1", 0.1))


def test_the_same_state_is_told_once_whatever_its_message_says() -> None:
    assert told("json", replace(HELD, message="still 59 minutes"), HELD, Done("x-2", 0.1)) == ""
    bug = replace(WELL, reason=Reason.INTERNAL_ERROR, message="unexpected KeyError")
    assert told("json", bug, bug, Done("x-2", 0.1)) == ""
    assert told("json", replace(bug, message="unexpected OSError"), bug, Done("x-2", 0.1)) != ""


def test_debug_tells_where_the_time_of_a_pass_went_if_it_did_something() -> None:
    did, looked = Done("x-1", 0.51, {Stage.FETCH: 0.5}, (ATTEMPT,)), Done("x-2", 0.1)
    line = json.loads(told("json", WELL, WELL, did, level="debug"))
    assert (line["event"], line["level"], line["pass_id"]) == ("pass", "debug", "x-1")
    assert (line["seconds"], line["fetch"]) == (0.51, 0.5)
    assert told("json", WELL, WELL, looked, level="debug") == ""
    assert told("json", WELL, WELL, did) == ""


@pytest.mark.parametrize(
    ("sync", "health", "reason", "level"),
    [
        (Sync.SYNCED, Health.HEALTHY, None, "info"),
        (Sync.PROGRESSING, Health.PROGRESSING, None, "info"),
        (Sync.SYNCED, Health.PROGRESSING, None, "info"),
        (Sync.HELD, Health.HEALTHY, Reason.SOAKING, "info"),
        (Sync.HELD, Health.HEALTHY, Reason.SUSPENDED, "info"),
        (Sync.HELD, Health.DEGRADED, Reason.SOAKING, "warning"),
        (Sync.HELD, Health.HEALTHY, Reason.APPROVAL_MISSING, "warning"),
        (Sync.OUT_OF_SYNC, Health.UNKNOWN, Reason.TARGET_UNAVAILABLE, "warning"),
        (Sync.SYNCED, Health.DEGRADED, None, "warning"),
        (Sync.HELD, Health.HEALTHY, Reason.DIGEST_MISMATCH, "error"),
        (Sync.HELD, Health.DEGRADED, Reason.HEALTH_CHECK_FAILED, "error"),
    ],
)
def test_the_level_says_whether_somebody_has_to_look(
    sync: Sync, health: Health, reason: Reason | None, level: str
) -> None:
    assert level_of(replace(WELL, sync=sync, health=health, reason=reason), None) == level
    assert level_of(WELL, KeyError()) == "error"
    assert level.upper() in logging.getLevelNamesMapping()
