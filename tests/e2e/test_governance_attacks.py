"""Tricks with the rules between environments, on real parts: each was found by trying to get past one of them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import Gate, Health
from tests.factories import sha256
from tests.governance import (
    AFTER,
    CLOSED,
    NESTED,
    POLICY,
    fail_the_switch_to_2,
    held,
    live_files,
    lose_the_store,
    nested,
    once,
    process,
    promote_to_2,
    push_from_the_side,
    remove,
    rewrite,
    serve_for_a_moment,
    staging_and_prod,
    stopped,
    word,
)
from tests.site import Site, environment, policy_text

ONE_IN_DEV = {"environments": ["dev"], "required": 1}
LEAD_IN_PROD = {"environments": ["prod"], "from": ["lead@example.com"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return staging_and_prod(tmp_path)


def test_a_rule_that_a_push_dropped_is_not_replaced_by_a_weaker_one(site: Site) -> None:
    """A push drops the rule; the reviewers of the next change see a weaker one being added, not the loss."""
    site.declare("dev", 2)
    site.reconcile()
    site.push("prod", 1)
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)
    site.declare("prod", 2, promote={"after": ["dev"]})
    stopped(site, "prod", Reason.NOT_IN_UPSTREAM, live=1)
    assert site.current("dev") == 2


def test_a_file_that_is_removed_and_pushed_anew_does_not_lose_its_promotion_rule(site: Site) -> None:
    """Two pushes make the file look new; the approved change after them declares what staging never ran."""
    remove(site, "environments/prod.yaml")
    site.push("prod", 1)
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)
    site.declare("prod", 2)
    stopped(site, "prod", Reason.APPROVAL_MISSING, live=1)


def test_a_file_that_is_removed_and_pushed_anew_does_not_lose_its_approvers(site: Site) -> None:
    """The same for who must approve: the change afterwards was signed by somebody who is not the lead."""
    site.declare("prod", 1, promote=AFTER, approval={"from": ["lead@example.com"]})
    assert site.reconcile()["prod"].ready
    remove(site, "environments/prod.yaml")
    site.push("prod", 1, promote=AFTER)
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)
    promote_to_2(site)
    stopped(site, "prod", Reason.APPROVAL_MISSING, live=1)
    assert "artifact.run_id" in " ".join(word(site.reconcile()["prod"], Gate.APPROVAL).evidence)
    assert site.current("staging") == 2


def test_an_approver_whom_a_push_drops_and_puts_back_is_asked_all_the_same(site: Site) -> None:
    """In between somebody else approves a run; no trace of the push is left at the tip."""
    lead = {"from": ["lead@example.com"]}
    site.declare("prod", 1, promote=AFTER, approval=lead)
    assert site.reconcile()["prod"].ready
    site.declare("staging", 2)
    site.reconcile()
    site.push("prod", 1, promote=AFTER)
    site.declare("prod", 2, promote=AFTER)
    site.push("prod", 2, promote=AFTER, approval=lead)
    stopped(site, "prod", Reason.APPROVER_NOT_ALLOWED, live=1)


def test_no_push_takes_a_revocation_out_whatever_else_happens_to_the_policy(site: Site) -> None:
    """It is changed to another run, broken, removed, approved without it twice, and the store is lost."""
    site.policy(revoked=[{"run_id": 2, "reason": "bad"}])
    site.reconcile()
    site.git.direct_push(site.engineer, POLICY, 'version: 1\nrevoked: [{"run_id": 3, reason: "bad"}]\n')
    site.git.direct_push(site.engineer, POLICY, "version: 1\nrevoked: [\n")
    site.policy(revoked=[{"run_id": 77, "reason": "another"}])
    remove(site, POLICY)
    site.policy(revoked=[{"run_id": 78, "reason": "another"}])
    site.declare("staging", 2)
    held(site.reconcile()["staging"], Reason.REVOKED)
    lose_the_store(site)
    stopped(site, "staging", Reason.REVOKED, live=1)


def test_a_freeze_outlives_a_policy_that_became_a_link_and_then_nothing(site: Site) -> None:
    """A push turns the policy into a link to another file, a merge comes on top, a push removes the link."""
    site.policy(freeze=[CLOSED])
    site.reconcile()
    remove(site, POLICY)
    site.git.symlink(POLICY, "prod.yaml").commit(site.engineer, "Link").push()
    site.merge({"other": "x"})
    remove(site, POLICY)
    promote_to_2(site)
    held(site.reconcile()["prod"], Reason.FROZEN)
    lose_the_store(site)
    site.reconcile()
    stopped(site, "prod", Reason.FROZEN, live=1)
    assert site.current("staging") == 2


def test_a_folder_that_became_a_link_declares_nothing(site: Site) -> None:
    """A push moves the whole folder and leaves a link to it, so that no file has a history where it lies now."""
    site.policy(freeze=[CLOSED])
    promote_to_2(site)
    site.git.move("environments", "elsewhere").symlink("environments", "elsewhere").commit(site.engineer, "Move").push()
    statuses = site.reconcile()
    for name, live in (("staging", 2), ("prod", 1)):
        held(statuses[name], Reason.ENVIRONMENT_REMOVED)
        assert site.current(name) == live


def test_a_swapped_merge_of_a_line_without_a_past_is_asked_what_the_floor_asks(site: Site) -> None:
    """Dev asks nobody, the policy does; on the line of the attacker there never was a policy."""
    site.policy(approval=[ONE_IN_DEV])
    site.declare("dev", 1, approval="none")
    assert site.reconcile()["dev"].ready
    published = site.git.tip
    site.git.git("checkout", "--quiet", "--orphan", "line")
    site.git.write("environments/dev.yaml", site.declaration("dev", 2, approval="none")).commit(site.engineer, "Alone")
    push_from_the_side(site, published)
    stopped(site, "dev", Reason.APPROVAL_MISSING, live=1)


def test_a_swapped_merge_of_a_line_from_before_the_floor_is_asked_what_the_floor_asks(site: Site) -> None:
    """The change was committed where nobody was asked yet, and comes in while the process keeps running."""
    site.declare("dev", 1, approval="none")
    assert site.reconcile()["dev"].ready
    before = site.git.tip
    with process(site) as live:
        live.run("dev")
        published = site.policy(approval=[ONE_IN_DEV])
        live.look()
        assert live.run("dev").ready
        text = site.declaration("dev", 2, approval="none")
        site.git.reset(before).write("environments/dev.yaml", text).commit(site.engineer, "Early")
        push_from_the_side(site, published)
        live.look()
        held(live.run("dev"), Reason.APPROVAL_MISSING)
    assert site.current("dev") == 1


def test_an_approval_that_was_enough_before_a_floor_was_raised_is_not_brought_in_from_there(site: Site) -> None:
    """A change is approved on an old line by somebody whom the floor of today does not name."""
    site.policy(approval=[{"environments": ["prod"], "required": 1}])
    site.declare("prod", 1)  # without a promotion rule, so that only the floor is in the way
    assert site.reconcile()["prod"].ready
    before = site.git.tip
    published = site.policy(approval=[LEAD_IN_PROD])
    assert site.reconcile()["prod"].ready
    site.git.reset(before).branch("early").write("environments/prod.yaml", site.declaration("prod", 2))
    site.git.commit(site.engineer, "Early", sign=True).merge("early", signer=site.reviewer)
    push_from_the_side(site, published)
    stopped(site, "prod", Reason.APPROVER_NOT_ALLOWED, live=1)


def test_a_swapped_merge_that_undoes_a_return_is_asked_what_the_operators_floor_asks(site: Site) -> None:
    """The line goes on from where run 2 was declared, and takes back the return to run 1."""
    site.configure(floors=[ONE_IN_DEV])
    site.declare("dev", 2, approval="none")
    assert site.reconcile()["dev"].ready
    before = site.git.tip
    published = site.declare("dev", 1, approval="none")
    assert site.reconcile()["dev"].ready
    text = site.declaration("dev", 2, approval="none") + "# as before\n"
    site.git.reset(before).write("environments/dev.yaml", text).commit(site.engineer, "Early")
    push_from_the_side(site, published)
    stopped(site, "dev", Reason.APPROVAL_MISSING, live=1)


def test_a_floor_that_was_lowered_later_stays_as_it_was_for_the_change_before_it(site: Site) -> None:
    """A push takes the floor out, a change slips in, the floor is put back and then lowered by the lead."""
    lead, by_lead = site.git.person("lead"), {**ONE_IN_DEV, "from": ["lead@example.com"]}
    site.policy(approval=[by_lead])
    site.merge({"environments/dev.yaml": site.declaration("dev", 1)}, signed_by=lead)
    with process(site) as live:
        assert live.run("dev").ready
        site.git.direct_push(site.engineer, POLICY, policy_text())
        site.declare("dev", 2)
        live.look()
        held(live.run("dev"), Reason.APPROVER_NOT_ALLOWED)
        site.git.direct_push(site.engineer, POLICY, policy_text(approval=[by_lead]))
        site.merge({POLICY: policy_text(approval=[ONE_IN_DEV])}, signed_by=lead)
        live.look()
        held(live.run("dev"), Reason.APPROVER_NOT_ALLOWED)
    stopped(site, "dev", Reason.APPROVER_NOT_ALLOWED, live=1)


def test_one_merge_does_not_lower_a_floor_and_use_it(site: Site) -> None:
    """Somebody who is not the lead approves the end of the lead's say together with a promotion."""
    site.policy(approval=[LEAD_IN_PROD])
    site.declare("staging", 2)
    site.reconcile()
    promoted = site.declaration("prod", 2, promote=AFTER)
    site.merge({POLICY: policy_text(), "environments/prod.yaml": promoted})
    stopped(site, "prod", Reason.APPROVER_NOT_ALLOWED, live=1)


def test_what_is_unpacked_otherwise_is_no_repair(site: Site) -> None:
    """In a freeze, the way of unpacking is changed: the same bytes, and other files than staging ever ran."""
    site.publish(7, NESTED)
    site.merge(nested(site, "staging", "outer") | nested(site, "prod", "outer", promote=AFTER))
    site.reconcile()
    assert site.reconcile()["prod"].ready
    site.policy(freeze=[CLOSED])
    site.merge(nested(site, "prod", "inner", promote=AFTER))
    held(site.reconcile()["prod"], Reason.UPSTREAM_UNHEALTHY)
    assert live_files(site, "prod") == ["app.zip"]
    site.merge(nested(site, "staging", "inner"))
    site.reconcile()
    held(site.reconcile()["prod"], Reason.FROZEN)
    assert (live_files(site, "staging"), live_files(site, "prod")) == (["bin/app"], ["app.zip"])


def test_an_upstream_that_unpacks_otherwise_proves_nothing(site: Site) -> None:
    """Staging has the archive lying there; prod would run what is in it."""
    site.publish(7, NESTED)
    site.merge(nested(site, "staging", "outer"))
    site.reconcile()
    site.merge(nested(site, "prod", "inner", promote=AFTER))
    held(site.reconcile()["prod"], Reason.UPSTREAM_UNHEALTHY)
    assert (live_files(site, "staging"), site.current("prod")) == (["app.zip"], 1)


def test_a_revoked_upstream_proves_nothing_under_the_number_of_another_run(site: Site) -> None:
    """Run 2 is revoked by its number; the same bytes are promoted as run 4."""
    site.publish(4, site.artifact(2))
    site.declare("staging", 2)
    site.reconcile()
    site.policy(revoked=[{"run_id": 2, "reason": "the runner was broken into"}])
    site.declare("prod", 4, promote=AFTER, sha=sha256(site.artifact(2)))
    statuses = site.reconcile()
    held(statuses["prod"], Reason.UPSTREAM_UNHEALTHY)
    assert statuses["staging"].health is Health.DEGRADED
    assert (site.current("staging"), site.current("prod")) == (2, 1)


def test_a_link_that_was_moved_aside_and_back_soaks_from_then_on(site: Site) -> None:
    """Between two looks another release serves; then the very link comes back, as old as it was."""
    site.declare("staging", 2)
    with process(site) as live:
        assert live.run("staging").ready
        site.declare("prod", 2, promote={"after": ["staging"], "soak": "1h"})
        live.look()
        held(live.run("prod"), Reason.SOAKING)
        moved = datetime.now(UTC)
        serve_for_a_moment(site, "staging", 1)
        status = live.run("prod")
        held(status, Reason.SOAKING)
        earliest = word(status, Gate.PROMOTION).not_before
        assert earliest is not None
        assert earliest >= moved + timedelta(hours=1)
    assert (site.current("staging"), site.current("prod")) == (2, 1)


def test_an_upstream_that_goes_bad_while_the_bytes_come_proves_nothing_any_more(site: Site) -> None:
    """All gates passed; then getting the bytes takes long, and staging is changed meanwhile."""
    promote_to_2(site)
    shutil.rmtree(site.folder / "state" / "custody")  # so that they must come from CI again
    app = site.live / "staging" / "current" / "bin/app"
    with process(site, once("custody:write", lambda: app.write_bytes(b"changed"))) as live:
        held(live.run("prod"), Reason.UPSTREAM_UNHEALTHY)
    assert (app.read_bytes(), site.current("prod")) == (b"changed", 1)


def test_an_upstream_that_nobody_let_in_proves_nothing(site: Site) -> None:
    """A new environment is only pushed, and prod is made to promote from there too."""
    site.declare("staging", 2)
    site.reconcile()
    site.push("qa", 2)
    site.declare("prod", 2, promote={"after": ["qa"]})
    held(site.reconcile()["qa"], Reason.APPROVAL_MISSING)
    stopped(site, "prod", Reason.NOT_IN_UPSTREAM, live=1)
    assert site.reconcile()["prod"].message.startswith("qa runs nothing")
    assert site.current("qa") is None


def test_an_upstream_that_claims_the_place_of_another_environment_proves_nothing(site: Site) -> None:
    """Staging is pointed at where dev runs the artifact; then dev's file is removed and the store is lost."""
    site.declare("dev", 2, approval="none")
    site.reconcile()
    site.declare("prod", 2, promote=AFTER)
    site.push("staging", 2, path=str(site.live / "dev"), approval="none")
    statuses = site.reconcile()
    held(statuses["staging"], Reason.APPROVAL_MISSING)
    held(statuses["prod"], Reason.NOT_IN_UPSTREAM)
    remove(site, "environments/dev.yaml")
    lose_the_store(site)
    statuses = site.reconcile()
    held(statuses["staging"], Reason.TARGET_NOT_ALLOWED)
    held(statuses["prod"], Reason.NOT_IN_UPSTREAM)
    assert [site.current(name) for name in ("dev", "staging", "prod")] == [2, 1, 1]


def test_a_switch_that_failed_is_not_made_up_for_in_a_freeze(site: Site) -> None:
    """The disk is full at the switch; the freeze begins; then there is room again."""
    fail_the_switch_to_2(site)
    site.policy(freeze=[CLOSED])
    stopped(site, "prod", Reason.FROZEN, live=1)


def test_a_switch_that_failed_is_not_made_up_for_once_staging_went_back(site: Site) -> None:
    """The disk is full at the switch; staging turns out bad and returns to run 1; then there is room again."""
    fail_the_switch_to_2(site)
    site.declare("staging", 1)
    with process(site) as live:
        assert live.run("staging").ready
        held(live.run("prod"), Reason.NOT_IN_UPSTREAM)
    assert (site.current("staging"), site.current("prod")) == (1, 1)


def test_what_was_placed_and_never_live_is_no_rollback(site: Site) -> None:
    """Run 2 lies in prod from the switch that failed; with run 3 live, it is declared as if to go back to it."""
    fail_the_switch_to_2(site)
    site.declare("staging", 3)
    site.declare("prod", 3, promote=AFTER)
    with process(site) as live:
        assert live.run("staging").ready
        assert live.run("prod").ready
    site.policy(freeze=[CLOSED])
    site.declare("prod", 2, promote=AFTER)
    stopped(site, "prod", Reason.NOT_IN_UPSTREAM, live=3)
    assert [done.declared.run_id for done in site.store().succeeded(environment("prod"))] == [3, 1]


def test_an_accepted_rewrite_makes_no_newcomer_of_what_was_there(site: Site) -> None:
    """New environments ask nobody here; prod, whose history is gone, is not one of them."""
    site.configure(new_environments="none")
    site.reconcile()
    rewrite(site, {"environments/prod.yaml": site.declaration("prod", 3)})
    assert "is gone with the history that held it" in site.reconcile()["prod"].message
    site.git.direct_push(site.engineer, "environments/prod.yaml", site.declaration("prod", 3) + "# again\n")
    stopped(site, "prod", Reason.APPROVAL_MISSING, live=1)


def test_an_accepted_rewrite_lifts_neither_freeze_nor_revocation(site: Site) -> None:
    """The new history begins with a policy that asks for nothing."""
    site.policy(freeze=[CLOSED], revoked=[{"run_id": 3, "reason": "bad"}])
    site.declare("staging", 2)
    site.reconcile()
    rewrite(site, {POLICY: policy_text()})
    site.declare("prod", 2, promote=AFTER)
    held(site.reconcile()["prod"], Reason.FROZEN)
    site.declare("staging", 3)
    held(site.reconcile()["staging"], Reason.REVOKED)
    assert (site.current("staging"), site.current("prod")) == (2, 1)
