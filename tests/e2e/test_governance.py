"""The rules between environments on real parts: git with signed merges, archives, disks, the store, the program."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import Action, Gate, Health, Outcome, Verdict
from tests.factories import sha256
from tests.governance import AFTER, CLOSED, held, process, staging_and_prod, word
from tests.site import Site, environment, eventually, policy_text


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return staging_and_prod(tmp_path)


def test_what_staging_does_not_run_has_no_right_to_go_to_prod(site: Site) -> None:
    site.declare("prod", 2, promote=AFTER)
    held(site.reconcile()["prod"], Reason.NOT_IN_UPSTREAM)
    assert site.current("prod") == 1
    site.declare("staging", 2)
    site.reconcile()
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 2


def test_it_is_the_bytes_that_staging_proved_not_the_number_of_the_run(site: Site) -> None:
    same, other = site.artifact(2), site.artifact(4)
    site.declare("staging", 2)
    site.reconcile()
    site.publish(4, same)
    site.declare("prod", 4, promote=AFTER, sha=sha256(same))
    assert word(site.reconcile()["prod"], Gate.PROMOTION).verdict is Verdict.PASSED
    site.publish(5, other)
    site.declare("prod", 5, promote=AFTER, sha=sha256(other))
    held(site.reconcile()["prod"], Reason.NOT_IN_UPSTREAM)


def test_a_drifted_upstream_proves_nothing(site: Site) -> None:
    site.declare("staging", 2)
    site.reconcile()
    (site.live / "staging" / "current" / "bin/app").write_bytes(b"changed by hand")
    site.declare("prod", 2, promote=AFTER)
    with process(site) as live:
        held(live.run("prod"), Reason.UPSTREAM_UNHEALTHY)
        assert live.run("staging").ready
        assert live.run("prod").ready


def test_a_soak_holds_until_the_time_that_it_names_and_then_lets_go(site: Site) -> None:
    site.declare("staging", 2)
    with process(site) as live:
        assert live.run("staging").ready
        site.declare("prod", 2, promote={"after": ["staging"], "soak": "2s"})
        live.look()
        status = live.run("prod")
        held(status, Reason.SOAKING)
        earliest = word(status, Gate.PROMOTION).not_before
        assert earliest is not None
        now = datetime.now(UTC)
        assert now < earliest <= now + timedelta(seconds=2)
        eventually(lambda: live.run("prod").ready, seconds=20)
        assert datetime.now(UTC) >= earliest
    (intent,) = [e for e in site.audit() if e.environment == "prod" and e.kind == "intent" and e.run_id == 2]
    (promotion,) = [gate for gate in intent.gates if gate.gate == "promotion"]
    assert "2s of 2s" in promotion.evidence[0]


def test_one_pass_after_another_process_earns_no_soak(site: Site) -> None:
    """As with `reconcile` from a timer: nobody watched in between."""
    site.declare("staging", 2)
    site.reconcile()
    site.declare("prod", 2, promote={"after": ["staging"], "soak": "1s"})
    for _ in range(3):
        status = site.reconcile()["prod"]
        held(status, Reason.SOAKING)
    assert site.current("prod") == 1


def test_a_pull_request_that_drops_the_rule_is_still_judged_by_it(site: Site) -> None:
    site.declare("prod", 2)
    held(site.reconcile()["prod"], Reason.NOT_IN_UPSTREAM)
    assert site.current("prod") == 1


def test_a_freeze_stops_a_promotion_and_neither_repair_nor_rollback(site: Site) -> None:
    site.declare("staging", 2)
    site.declare("prod", 2, promote=AFTER)
    site.reconcile()
    assert site.reconcile()["prod"].ready
    site.policy(freeze=[CLOSED])
    site.declare("staging", 3)
    site.declare("prod", 3, promote=AFTER)
    site.reconcile()
    status = site.reconcile()["prod"]
    held(status, Reason.FROZEN)
    assert word(status, Gate.FREEZE).not_before == datetime(2099, 1, 1, tzinfo=UTC)
    (site.live / "prod" / "current" / "bin/app").write_bytes(b"changed by hand")
    assert site.reconcile()["prod"].health is Health.HEALTHY
    assert site.current("prod") == 2
    site.declare("prod", 1, promote=AFTER)
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 1
    assert site.store().succeeded(environment("prod"))[0].action is Action.ROLLBACK


def test_a_freeze_that_was_only_pushed_counts_and_its_removal_does_not(site: Site) -> None:
    site.git.direct_push(site.engineer, "environments/policy.yaml", policy_text(freeze=[CLOSED]))
    site.declare("staging", 2)
    site.declare("prod", 2, promote=AFTER)
    site.reconcile()
    held(site.reconcile()["prod"], Reason.FROZEN)
    site.policy(freeze=[{**CLOSED, "reason": "let in"}])
    held(site.reconcile()["prod"], Reason.FROZEN)
    site.git.direct_push(site.engineer, "environments/policy.yaml", policy_text())
    status = site.reconcile()["prod"]
    held(status, Reason.FROZEN)
    assert "let in" in status.message
    assert site.current("prod") == 1


def test_a_revoked_artifact_is_flagged_where_it_runs_and_deployed_nowhere(site: Site) -> None:
    site.declare("staging", 2)
    site.reconcile()
    site.policy(revoked=[{"run_id": 2, "reason": "CVE-2026-1"}])
    site.declare("prod", 2, promote=AFTER)
    statuses = site.reconcile()
    for name, live in (("staging", 2), ("prod", 1)):
        held(statuses[name], Reason.REVOKED)
        assert "CVE-2026-1" in statuses[name].message
        assert site.current(name) == live
    assert statuses["staging"].health is Health.DEGRADED
    assert statuses["prod"].health is Health.HEALTHY
    site.declare("staging", 1)
    assert site.reconcile()["staging"].ready
    shutil.rmtree(site.folder / "state")
    assert site.reconcile()["prod"].reason is Reason.REVOKED


def test_a_floor_binds_a_file_that_asks_for_less(site: Site) -> None:
    site.configure(floors=[{"environments": ["prod"], "from": ["lead@example.com"]}])
    site.declare("prod", 1, promote=AFTER, keep=4)
    held(site.reconcile()["prod"], Reason.APPROVER_NOT_ALLOWED)
    site.declare("staging", 2)
    assert site.reconcile()["staging"].ready


def test_a_policy_floor_is_judged_by_what_stood_before_the_change(site: Site) -> None:
    site.policy(approval=[{"environments": ["prod"], "from": ["lead@example.com"]}])
    site.declare("prod", 1, promote=AFTER, keep=4)
    held(site.reconcile()["prod"], Reason.APPROVER_NOT_ALLOWED)
    site.policy()
    held(site.reconcile()["prod"], Reason.APPROVER_NOT_ALLOWED)


def test_a_rewritten_branch_is_followed_once_the_operator_accepted_it(site: Site) -> None:
    before = site.git.tip
    site.git.rewrite(site.engineer)
    held(site.reconcile()["prod"], Reason.BRANCH_REWRITTEN)
    assert site.answer("accept-rewrite", before, "--reason", "no").returncode == 2
    done = site.answer("accept-rewrite", site.git.tip, "--reason", "a secret was in the history")
    assert done.returncode == 0, done.stderr
    assert site.reconcile()["prod"].ready
    entry = next(e for e in site.audit() if e.action == "accept-rewrite")
    assert (entry.commit, "a secret was in the history" in entry.message) == (site.git.tip, True)
    site.declare("staging", 2)
    assert site.reconcile()["staging"].ready
    assert site.current("staging") == 2


def test_an_accepted_rewrite_lets_no_content_in(site: Site) -> None:
    site.git.rewrite(site.engineer, {"environments/prod.yaml": site.declaration("prod", 3)})
    site.reconcile()
    assert site.answer("accept-rewrite", site.git.tip, "--reason", "meant").returncode == 0
    status = site.reconcile()["prod"]
    held(status, Reason.APPROVAL_MISSING)
    assert site.current("prod") == 1
    site.git.direct_push(site.engineer, "environments/prod.yaml", site.declaration("prod", 1, promote=AFTER))
    assert site.reconcile()["prod"].ready


def test_the_plan_that_was_carried_out_is_on_record(site: Site) -> None:
    site.declare("staging", 2)
    site.reconcile()
    entries = [entry for entry in site.audit() if entry.run_id == 2]
    assert {entry.plan for entry in entries} == {entries[0].plan}
    assert len(entries[0].plan) == 64
    assert entries[-1].outcome == Outcome.SUCCEEDED
    assert all(gate.verdict == Verdict.PASSED for gate in entries[-1].gates)


def test_a_removed_revocation_is_not_let_in_by_a_later_change_of_the_policy(site: Site) -> None:
    """The reviewers of that change were shown its own line, not the one that a push took out before."""
    revoked = {"run_id": 2, "reason": "CVE-2026-1"}
    site.policy(revoked=[revoked])
    site.declare("staging", 2)
    held(site.reconcile()["staging"], Reason.REVOKED)
    site.git.direct_push(site.engineer, "environments/policy.yaml", policy_text(revoked=[]))
    site.policy(revoked=[{"run_id": 77, "reason": "another"}])
    held(site.reconcile()["staging"], Reason.REVOKED)
    assert site.current("staging") == 1


def test_a_policy_that_can_not_be_read_holds_every_environment_and_tells_where(site: Site) -> None:
    site.declare("staging", 2)
    site.git.direct_push(site.engineer, "environments/policy.yaml", "version: 1\nfreze: []\n")
    status = site.reconcile()["staging"]
    held(status, Reason.INVALID_DECLARATION)
    assert "environments/policy.yaml:2:1" in status.message
    assert status.declared.run_id == 2
    assert site.current("staging") == 1


def test_one_command_brings_a_whole_line_of_environments_up_in_order(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish(1)
    site.merge(
        {
            "environments/a.yaml": site.declaration("a", 1, promote={"after": ["b"]}),
            "environments/b.yaml": site.declaration("b", 1, promote={"after": ["c"]}),
            "environments/c.yaml": site.declaration("c", 1),
        }
    )
    done = site.cli("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [site.current(name) for name in "abc"] == [1, 1, 1]
