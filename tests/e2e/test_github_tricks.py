"""Tricks on GitHub that a writer of the repository may try, and turns of work that must not stop anything for ever.

Beside `test_github_attacks`, which has the approval tricks by name: here are those of histories, of branches, of
GitHub's own helpers, and of runs. Real git, the real program's parts, GitHub's own description as the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import CommitId, Status, Sync
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import METHODS, GitHubSite, file_of
from tests.github.state import Account, Pull

PROD = file_of("prod")


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    """Run 1 is live in prod; run 2 is good, run 666 must never be live there."""
    site = GitHubSite(tmp_path, github)
    for run in (1, 2, 666):
        site.build(run)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    return site


# --- what is only in the middle of a request ------------------------------------------------------------------------


def the_middle_raises_the_bar(site: GitHubSite) -> str:
    """Its end can't be let in by one approval, so that its middle would be the last state that was."""
    middle = site.declaration("prod", 666, approval={"required": 2})
    _rebased(site, {PROD: middle}, {PROD: site.declaration("prod", 2)})
    return middle


def the_end_can_not_be_read(site: GitHubSite) -> str:
    middle = site.declaration("prod", 666)
    _rebased(site, {PROD: middle}, {PROD: "version: [\n"})
    return middle


def the_end_removes_the_file(site: GitHubSite) -> str:
    middle = site.declaration("prod", 666)
    _rebased(site, {PROD: middle}, {PROD: None})
    return middle


@pytest.mark.parametrize("how", ["rebase", "push"])
@pytest.mark.parametrize("trick", [the_middle_raises_the_bar, the_end_can_not_be_read, the_end_removes_the_file])
def test_what_stood_in_the_middle_of_a_request_was_never_let_in(
    site: GitHubSite, trick: Callable[[GitHubSite], str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reviewers were shown its end; going back to the middle by a push is no going back to what was let in."""
    if how == "push":  # the reviewer moves main to the request's head, which is to merge it
        monkeypatch.setattr(site.deploy, "merge", lambda pull, who, _: site.deploy.direct_push_of_pull(pull, who))
    middle = trick(site)
    site.reconcile()
    live = site.current("prod")
    site.deploy.push(site.engineer, "main", {PROD: middle}, "Back")
    refused(site, Reason.APPROVAL_MISSING, live=live)
    assert live != 666


@pytest.mark.parametrize("how", ["rebase", "push"])
@pytest.mark.parametrize("middle", ["what was let in", "another run", "no gate"])
def test_a_push_is_not_let_in_by_a_request_that_takes_it_out_and_puts_it_in_again(
    site: GitHubSite, middle: str, how: str
) -> None:
    """Its difference to the branch shows nothing of it."""
    bad = site.declaration("prod", 666)
    states = {
        "what was let in": site.declaration("prod", 1),
        "another run": site.declaration("prod", 2),
        "no gate": site.declaration("prod", 1, approval="none"),
    }
    site.deploy.push(site.engineer, "main", {PROD: bad}, "Just so")
    pull = site.pull({PROD: states[middle]})
    site.deploy.push(site.engineer, pull.head, {PROD: bad, "NOTES": "x"}, "Notes")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    if how == "push":
        site.deploy.direct_push_of_pull(pull, site.reviewer)
    else:
        site.deploy.merge(pull, site.reviewer, "rebase")
    refused(site, Reason.APPROVAL_MISSING)


def test_a_rebased_request_that_raises_the_bar_on_its_way_is_judged_by_what_stood_before_it(site: GitHubSite) -> None:
    _rebased(
        site,
        {PROD: site.declaration("prod", 1, approval={"required": 2})},
        {PROD: site.declaration("prod", 2, approval={"required": 2})},
    )
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_the_promotion_rule_that_stood_before_a_request_counts_however_it_was_merged(
    site: GitHubSite, method: str
) -> None:
    """Its first commit drops the rule, its second one declares the artifact and puts a weaker rule back."""
    site.declare("staging", 1)
    site.declare("prod", 1, promote={"after": ["staging"], "soak": "1h"})
    site.reconcile()
    site.declare("staging", 2)
    assert site.reconcile()["staging"].ready
    pull = site.pull({PROD: site.declaration("prod", 1)})
    weaker = site.declaration("prod", 2, promote={"after": ["staging"], "soak": "1s"})
    site.deploy.push(site.engineer, pull.head, {PROD: weaker}, "Weaker")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, method)
    assert "1h" in refused(site, Reason.SOAKING).message


@pytest.mark.parametrize("end", ["floors are back", "floors are gone"])
@pytest.mark.parametrize("method", METHODS)
def test_a_request_can_not_lower_the_floors_that_it_is_judged_by(site: GitHubSite, method: str, end: str) -> None:
    lead = site.deploy.person("lead")
    floor = site.policy(approval=[{"environments": ["prod"], "required": 2}])
    site.land(floor)
    assert site.reconcile()["prod"].ready
    pull = site.pull(site.policy())
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 666)}, "Bump")
    if end == "floors are back":
        site.deploy.push(site.engineer, pull.head, floor, "Back")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, method)
    refused(site, Reason.APPROVAL_MISSING)
    refused(site, Reason.APPROVAL_MISSING)  # nor after what was let in of the policy is remembered
    site.deploy.review(pull, lead, "APPROVED")
    assert ready(site) == 666


# --- how a commit came to the branch ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_auto_merge_is_nobodys_word_for_what_was_pushed_after_it_was_enabled(site: GitHubSite, method: str) -> None:
    """GitHub names as the one who merged whoever enabled it, and a writer's push does not disable it."""
    pull = site.pull({PROD: site.declaration("prod", 2)})
    name = "auto_merge_enabled" if method == "merge" else f"auto_{method}_enabled"
    site.deploy.note(pull, name, site.reviewer)
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 666)}, "More")
    site.deploy.merge(pull, site.reviewer, method)
    refused(site, Reason.APPROVAL_MISSING, Reason.SELF_APPROVAL)
    site.deploy.review(pull, site.reviewer, "APPROVED")  # a request can still be approved after its merge
    assert ready(site) == 666


def test_auto_merge_is_the_word_of_whoever_enabled_it_for_the_head_that_they_saw(site: GitHubSite) -> None:
    pull = site.pull({PROD: site.declaration("prod", 2)})
    site.deploy.note(pull, "auto_merge_enabled", site.reviewer)
    site.deploy.merge(pull, site.reviewer)
    assert ready(site) == 2


def test_auto_merge_that_was_disabled_again_takes_nothing_from_whoever_merged(site: GitHubSite) -> None:
    pull = site.pull({PROD: site.declaration("prod", 1)})
    site.deploy.note(pull, "auto_merge_enabled", site.reviewer)
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 2)}, "More")
    site.deploy.note(pull, "auto_merge_disabled", site.reviewer)
    site.deploy.merge(pull, site.reviewer)
    assert ready(site) == 2


def test_an_old_approved_request_is_not_let_in_by_turning_the_history_around_it(site: GitHubSite) -> None:
    """Somebody pushes a merge whose first parent is the request's head: main's own line comes in from the side."""
    old = site.pull({PROD: site.declaration("prod", 666)})
    site.deploy.review(old, site.reviewer, "APPROVED")
    site.declare("prod", 2)
    assert ready(site) == 2
    around = _commit(site, old.head_commit, old.head_commit, site.deploy.tip())
    site.deploy.force_push(site.engineer, "main", around)  # forward: main is one of its parents
    refused(site, Reason.APPROVAL_STALE, Reason.APPROVAL_MISSING, live=2)


@pytest.mark.parametrize("connected", [False, True], ids=["as it should", "too much"])
def test_a_push_under_a_request_of_twins_is_not_let_in_whatever_github_connects_with_it(
    site: GitHubSite, connected: bool
) -> None:
    """A push; a request on top of it whose first commit looks like it; a squash that looks like the second."""
    pushed = site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Change")
    twin = site.pull({"NOTES": "x"})
    site.deploy.push(site.engineer, twin.head, {"NOTES": "y"}, "More")
    site.deploy.review(twin, site.reviewer, "APPROVED")
    site.deploy.merge(twin, site.reviewer, "squash")
    squashed = _commit_like(site, twin.head_commit, "More", pushed)
    site.deploy.force_push(site.reviewer, "main", squashed)
    twin.merged_as = squashed
    twin.landed = (pushed, squashed) if connected else (squashed,)
    refused(site, Reason.APPROVAL_MISSING)


def test_a_head_that_has_no_history_in_common_with_the_branch_is_refused(site: GitHubSite) -> None:
    """What it would change can't be shown to anybody."""
    pull = site.pull({PROD: site.declaration("prod", 2)})
    orphan = _commit(site, pull.head_commit)
    site.deploy.force_push(site.engineer, pull.head, orphan)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    joined = _commit(site, orphan, site.deploy.tip(), orphan)
    site.deploy.force_push(site.engineer, "main", joined)
    refused(site)


def test_the_same_state_pushed_again_after_it_was_taken_back_is_refused(site: GitHubSite) -> None:
    site.declare("prod", 666, "squash")
    site.declare("prod", 1, "squash")
    assert ready(site) == 1
    site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Change")
    refused(site, Reason.APPROVAL_MISSING)


def test_a_cherry_picked_merge_is_not_the_merge(site: GitHubSite) -> None:
    merged = site.deploy.merge(_approved(site, 666), site.reviewer, "squash")
    site.declare("prod", 1)
    assert ready(site) == 1
    message = site.deploy.git("show", "-s", "--format=%B", merged)
    again = _commit_like(site, merged, message, site.deploy.tip())
    site.deploy.force_push(site.engineer, "main", again)
    refused(site, Reason.APPROVAL_MISSING)


@pytest.mark.parametrize("method", METHODS)
def test_an_update_of_the_branch_after_the_approval_asks_for_another_one(site: GitHubSite, method: str) -> None:
    pull = _approved(site, 2)
    site.deploy.push(site.reviewer, "main", {"NOTES": "x"}, "Notes")
    update = _commit(site, pull.head_commit, pull.head_commit, site.deploy.tip(), by=site.engineer)
    site.deploy.force_push(site.engineer, pull.head, update)
    site.deploy.merge(pull, site.engineer, method)
    refused(site, Reason.APPROVAL_STALE, Reason.SELF_APPROVAL)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    assert ready(site) == 2


def test_a_branch_that_somebody_deleted_and_made_anew_names_all_who_pushed_to_it(site: GitHubSite) -> None:
    carol = site.deploy.person("carol")
    head = site.deploy.push(carol, "shared", {PROD: site.declaration("prod", 666)}, "Change", author=site.engineer)
    site.deploy.delete_branch(carol, "shared")
    site.deploy.force_push(site.engineer, "shared", head)
    pull = site.deploy.open_pull(site.engineer, "shared")
    site.deploy.review(pull, carol, "APPROVED")
    site.deploy.merge(pull, carol)
    refused(site, Reason.SELF_APPROVAL)


def test_a_fork_s_branch_of_the_same_name_names_its_own_pushers(site: GitHubSite) -> None:
    """The push that counts is the fork's, whatever happened to a branch of that name here."""
    carol = site.deploy.person("carol")
    pull = site.deploy.fork_pull(carol, {PROD: site.declaration("prod", 666)}, "Change", branch="patch")
    site.deploy.force_push(site.engineer, "patch", pull.head_commit)
    pull.author = site.engineer
    site.deploy.merge(pull, carol)
    refused(site, Reason.SELF_APPROVAL)


# --- people -------------------------------------------------------------------------------------------------------


def test_who_opened_a_request_stays_its_author_under_another_name(site: GitHubSite) -> None:
    carol = site.deploy.person("carol")
    site.deploy.push(site.engineer, "work", {PROD: site.declaration("prod", 666)}, "Change")
    pull = site.deploy.open_pull(carol, "work")
    site.hub.rename(carol, "carla")
    site.deploy.review(pull, carol, "APPROVED")
    site.deploy.merge(pull, site.engineer)
    refused(site, Reason.SELF_APPROVAL)


def test_naming_oneself_as_the_approver_takes_effect_only_when_it_was_let_in(site: GitHubSite) -> None:
    own = site.declaration("prod", 666, approval={"required": 1, "from": ["engineer"], "allow_self": True})
    site.deploy.merge(site.pull({PROD: own}), site.engineer)
    refused(site, Reason.SELF_APPROVAL)
    again = site.declaration("prod", 2, approval={"required": 1, "from": ["engineer"], "allow_self": True})
    site.deploy.merge(site.pull({PROD: again}), site.engineer)
    refused(site, Reason.SELF_APPROVAL)


def test_a_new_environment_without_a_gate_has_to_be_let_in_by_somebody(site: GitHubSite) -> None:
    files = {file_of("new"): site.declaration("new", 666, approval="none")}
    site.deploy.merge(site.pull(files), site.engineer)
    status = site.reconcile()["new"]
    assert (status.sync, status.reason) == (Sync.HELD, Reason.SELF_APPROVAL), status
    assert site.current("new") is None


def test_a_team_is_the_same_however_it_is_written(site: GitHubSite) -> None:
    carol = site.deploy.person("carol")
    site.hub.team("acme/sre", carol)
    rule = {"required": 1, "from": ["@Acme/SRE"]}
    site.declare("prod", 1, approval=rule)
    site.reconcile()
    site.deploy.merge(site.pull({PROD: site.declaration("prod", 2, approval=rule)}), carol)
    assert ready(site) == 2


def test_a_team_of_another_organisation_is_no_team_of_ours(site: GitHubSite) -> None:
    site.hub.team("other/sre", site.reviewer)
    rule = {"required": 1, "from": ["@other/sre"]}
    site.declare("prod", 1, approval=rule)
    site.reconcile()
    site.deploy.merge(site.pull({PROD: site.declaration("prod", 666, approval=rule)}), site.reviewer)
    refused(site, Reason.APPROVER_NOT_ALLOWED)


# --- good work that must not be held for ever -----------------------------------------------------------------------


def test_a_branch_that_its_reviewer_restored_after_the_merge_makes_them_no_author(site: GitHubSite) -> None:
    pull = _approved(site, 2)
    site.deploy.merge(pull, site.reviewer)
    site.deploy.delete_branch(site.reviewer, pull.head)
    site.deploy.force_push(site.reviewer, pull.head, pull.head_commit)
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_revert_through_a_request_is_let_in(site: GitHubSite, method: str) -> None:
    site.declare("prod", 2, method)
    assert ready(site) == 2
    site.declare("prod", 1, method)
    assert ready(site) == 1


@pytest.mark.parametrize("method", METHODS)
def test_two_requests_that_are_found_at_once_are_both_let_in(site: GitHubSite, method: str) -> None:
    first = site.pull({file_of("staging"): site.declaration("staging", 2)})
    second = _approved(site, 2)
    site.deploy.merge(first, site.reviewer, method)
    site.deploy.merge(second, site.engineer, method)
    found = site.reconcile()
    assert found["staging"].ready, found
    assert found["prod"].ready, found


def test_a_queue_s_merges_are_let_in_by_the_reviews(site: GitHubSite) -> None:
    queue = site.hub.bot("github-merge-queue[bot]")
    first = site.pull({file_of("staging"): site.declaration("staging", 2)})
    second = _approved(site, 2)
    site.deploy.review(first, site.reviewer, "APPROVED")
    for pull in (first, second):
        site.deploy.merge(pull, queue)
    found = site.reconcile()
    assert found["staging"].ready, found
    assert found["prod"].ready, found


@pytest.mark.parametrize("branch", ["team/feature/one", "größe-✓", "a%2Fb", "with#hash", "pull/1/head", "refs/heads/x"])
def test_a_branch_may_have_any_name(site: GitHubSite, branch: str) -> None:
    site.deploy.push(site.engineer, branch, {PROD: site.declaration("prod", 2)}, "Change")
    pull = site.deploy.open_pull(site.engineer, branch)
    site.deploy.merge(pull, site.reviewer)
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_reverts_empty_commits_and_merges_within_a_request_are_let_in_with_it(site: GitHubSite, method: str) -> None:
    pull = site.pull({PROD: site.declaration("prod", 666)})
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 1)}, "Revert")
    site.deploy.push(site.engineer, pull.head, {}, "Nothing")
    site.deploy.push(site.reviewer, "main", {"NOTES": "x"}, "Notes")
    tree = site.deploy.bare.merged_tree(pull.head_commit, site.deploy.tip())
    update = _commit(site, tree, pull.head_commit, site.deploy.tip(), by=site.engineer)
    site.deploy.force_push(site.engineer, pull.head, update)
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 2)}, "Right")
    site.deploy.merge(pull, site.reviewer, method)
    assert ready(site) == 2


def test_a_request_of_an_account_that_is_gone_is_let_in_by_who_approved_it(site: GitHubSite) -> None:
    pull = _approved(site, 2)
    site.deploy.review(pull, site.hub.person("ghost"), "COMMENTED")
    site.deploy.merge(pull, site.reviewer)
    assert ready(site) == 2


# --- runs and our own copies ----------------------------------------------------------------------------------------


def test_a_run_that_was_run_again_and_failed_is_refused_though_we_have_its_bytes(site: GitHubSite) -> None:
    site.declare("prod", 2)
    assert ready(site) == 2
    site.declare("prod", 1)
    assert ready(site) == 1
    site.shop.runs[2].rerun(conclusion="failure")
    site.declare("prod", 2)
    refused(site, Reason.RUN_NOT_SUCCESSFUL)
    site.artifacts[2].delete()
    refused(site, Reason.RUN_NOT_SUCCESSFUL)


def test_a_run_that_is_gone_is_remembered_with_the_bytes_that_it_stored(site: GitHubSite) -> None:
    site.declare("prod", 2)
    assert ready(site) == 2
    site.declare("prod", 1)
    assert ready(site) == 1
    site.shop.runs[2].delete()
    site.declare("prod", 2)
    assert ready(site) == 2


@pytest.mark.parametrize("stated", ["", None], ids=["with a digest", "without a digest"])
@pytest.mark.parametrize("left", ["there", "expired", "deleted"])
def test_bytes_in_custody_do_not_stand_for_a_run_that_never_stored_them(
    site: GitHubSite, stated: str | None, left: str
) -> None:
    """Run 3 stored something else under that name; what is declared for it are the bytes of run 1."""
    made = site.shop.run(3).artifact("app", {"app.txt": "run 3\n"}, digest=stated)
    site.artifacts[3] = site.artifacts[1]
    if left == "expired":
        made.expire()
    if left == "deleted":
        made.delete()
    site.declare("prod", 3)
    refused(site, Reason.DIGEST_MISMATCH, Reason.ARTIFACT_EXPIRED, Reason.ARTIFACT_MISSING)


def test_an_artifact_stored_again_under_its_name_is_another_one(site: GitHubSite) -> None:
    site.declare("prod", 2)
    first = site.artifacts[2]
    run = site.shop.runs[2].rerun()
    first.delete()
    run.artifact("app", {"app.txt": "run 2, altered\n"})
    refused(site, Reason.DIGEST_MISMATCH)


def test_an_artifact_stored_twice_under_its_name_is_neither_of_the_two(site: GitHubSite) -> None:
    site.declare("prod", 2)
    site.shop.runs[2].rerun().artifact("app", {"app.txt": "run 2, altered\n"})
    refused(site, Reason.ARTIFACT_AMBIGUOUS)


def test_a_run_of_a_tag_that_is_named_like_the_branch_is_refused(site: GitHubSite) -> None:
    side = site.shop.push(site.engineer, "side", {"x": "y"}, "Aside")
    site.shop.git("update-ref", "refs/tags/main", side)
    site.artifacts[3] = site.shop.run(3, commit=side).artifact("app", {"app.txt": "run 3\n"})
    site.declare("prod", 3)
    refused(site, Reason.RUN_NOT_ALLOWED)


# --- parts ----------------------------------------------------------------------------------------------------------


def _approved(site: GitHubSite, run: int) -> Pull:
    pull = site.pull({PROD: site.declaration("prod", run)})
    site.deploy.review(pull, site.reviewer, "APPROVED")
    return pull


def _rebased(site: GitHubSite, *states: dict[str, str | None]) -> None:
    """A request of the engineer's with a commit for each state, rebased by the reviewer."""
    pull = site.pull(states[0])
    for number, files in enumerate(states[1:]):
        site.deploy.push(site.engineer, pull.head, files, f"Change again, {number}")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, "rebase")


def _commit(site: GitHubSite, tree: str, *parents: str, by: Account | None = None) -> CommitId:
    """A commit with any tree and parents."""
    who = (by or site.engineer).author
    names = {"user.name": who.name, "user.email": who.email}
    settings = [word for name, value in names.items() for word in ("-c", f"{name}={value}")]
    onto = [word for parent in parents for word in ("-p", parent)]
    return CommitId(site.deploy.git(*settings, "commit-tree", f"{tree}^{{tree}}", *onto, "-m", "Merge").strip())


def _commit_like(site: GitHubSite, commit: str, message: str, parent: str) -> CommitId:
    """The same content by the same author, as another commit."""
    bare, hub = site.deploy.bare, site.hub
    author = site.engineer.author
    return CommitId(bare.commit(f"{commit}^{{tree}}", (parent,), message, author, hub.github.author, hub.now()))


def refused(site: GitHubSite, *reasons: Reason, live: int | None = 1) -> Status:
    status = site.reconcile()["prod"]
    assert status.sync is Sync.HELD, status
    assert not reasons or status.reason in reasons, status
    assert site.current("prod") == live
    return status


def ready(site: GitHubSite) -> int | None:
    status = site.reconcile()["prod"]
    assert status.ready, status
    return site.current("prod")
