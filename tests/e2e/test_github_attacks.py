"""Every approval trick on GitHub, for each way in which a pull request is merged: what must come of it, by reason.

Real git, the real program's parts, and GitHub's own description as the judge of what is asked and answered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import CommitId, Status, Sync
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import METHODS, GitHubSite, file_of
from tests.github.state import Pull

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


def bump(site: GitHubSite, run: int = 666, **how: object) -> Pull:
    """A pull request of the engineer's that wants another run in prod."""
    return site.pull({PROD: site.declaration("prod", run)}, **how)  # type: ignore[arg-type]


def self_approval(site: GitHubSite, method: str) -> None:
    site.deploy.merge(bump(site), site.engineer, method)


def approved_by_a_co_author(site: GitHubSite, method: str) -> None:
    carol = site.deploy.person("carol")
    pull = bump(site, co_authors=(f"Carol <{carol.id}+carol@users.noreply.github.com>",))
    site.deploy.review(pull, carol, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)


def approved_by_a_co_author_of_a_known_address(site: GitHubSite, method: str) -> None:
    carol = site.deploy.person("carol")
    site.deploy.push(carol, "main", {"NOTES": "x"}, "A note")  # so that GitHub knows whose address it is
    pull = bump(site, co_authors=(f"Carol <{carol.email}>",))
    site.deploy.review(pull, carol, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)


def approved_by_the_last_pusher(site: GitHubSite, method: str) -> None:
    """Carol pushes a commit that looks like the engineer's, then approves."""
    carol = site.deploy.person("carol")
    pull = bump(site, run=2)
    files = {PROD: site.declaration("prod", 666)}
    site.deploy.push(carol, pull.head, files, "More", author=site.engineer)
    site.deploy.review(pull, carol, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)


def merged_by_the_last_pusher(site: GitHubSite, method: str) -> None:
    carol = site.deploy.person("carol")
    pull = bump(site, run=2)
    site.deploy.push(carol, pull.head, {PROD: site.declaration("prod", 666)}, "More", author=site.engineer)
    site.deploy.merge(pull, carol, method)


def push_after_the_approval(site: GitHubSite, method: str) -> None:
    pull = bump(site, run=2)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 666)}, "More")
    site.deploy.merge(pull, site.engineer, method)


def approval_withdrawn(site: GitHubSite, method: str) -> None:
    pull = bump(site)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.review(pull, site.reviewer, "CHANGES_REQUESTED")
    site.deploy.merge(pull, site.engineer, method)


def approval_withdrawn_by_the_one_who_merges(site: GitHubSite, method: str) -> None:
    pull = bump(site)
    site.deploy.review(pull, site.reviewer, "CHANGES_REQUESTED")
    site.deploy.merge(pull, site.reviewer, method)


def approval_dismissed(site: GitHubSite, method: str) -> None:
    pull = bump(site)
    site.deploy.dismiss(site.deploy.review(pull, site.reviewer, "APPROVED"))
    site.deploy.merge(pull, site.engineer, method)


def approved_by_a_bot(site: GitHubSite, method: str) -> None:
    robot = site.hub.person("helper[bot]", kind="Bot")
    site.deploy.allow(robot, "write")
    pull = bump(site)
    site.deploy.review(pull, robot, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)


def merged_by_a_bot(site: GitHubSite, method: str) -> None:
    robot = site.hub.person("merge-queue[bot]", kind="Bot")
    site.deploy.allow(robot, "write")
    site.deploy.merge(bump(site), robot, method)


def approved_by_a_reader(site: GitHubSite, method: str) -> None:
    reader = site.deploy.person("reader", "read")
    pull = bump(site)
    site.deploy.review(pull, reader, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)


def approved_by_somebody_who_lost_their_rights(site: GitHubSite, method: str) -> None:
    pull = bump(site)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)
    site.deploy.allow(site.reviewer, "read")


def login_taken_over(site: GitHubSite, method: str) -> None:
    """Somebody without rights approves; their login is then another account's, who may write."""
    guest = site.deploy.person("guest", "read")
    pull = bump(site)
    site.deploy.review(pull, guest, "APPROVED")
    site.hub.rename(guest, "guest-before")
    site.deploy.person("guest", "write")
    site.deploy.merge(pull, site.engineer, method)


def merged_into_another_branch(site: GitHubSite, method: str) -> None:
    site.deploy.push(site.engineer, "release", {"NOTES": "x"}, "A release branch")
    pull = site.deploy.open_pull(site.engineer, _branch_with_666(site, onto="release"), base="release")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    merged = site.deploy.merge(pull, site.reviewer, method)
    site.deploy.force_push(site.engineer, "main", merged)  # forward: the release branch began at main


def retargeted_after_the_approval(site: GitHubSite, method: str) -> None:
    """What prod gets is on the base branch already; the request shows nothing of it until it points at main."""
    side = _branch_with_666(site)
    site.deploy.push(site.engineer, "innocent", {"NOTES": "x"}, "Notes", onto=side)
    pull = site.deploy.open_pull(site.engineer, "innocent", base=side)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.retarget(pull, "main", site.engineer)
    site.deploy.merge(pull, site.engineer, method)


def altered_on_the_way(site: GitHubSite, method: str) -> None:
    pull = bump(site, run=2)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, method, tamper={PROD: site.declaration("prod", 666)})


def hundred_and_first_review(site: GitHubSite, method: str) -> None:
    """Who took their approval back did so on the second page."""
    talker = site.deploy.person("talker")
    pull = bump(site)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    for _ in range(99):
        site.deploy.review(pull, talker, "COMMENTED")
    site.deploy.review(pull, site.reviewer, "CHANGES_REQUESTED")
    site.deploy.merge(pull, site.engineer, method)


TRICKS: dict[Callable[[GitHubSite, str], None], Reason] = {
    self_approval: Reason.SELF_APPROVAL,
    approved_by_a_co_author: Reason.SELF_APPROVAL,
    approved_by_a_co_author_of_a_known_address: Reason.SELF_APPROVAL,
    approved_by_the_last_pusher: Reason.SELF_APPROVAL,
    merged_by_the_last_pusher: Reason.SELF_APPROVAL,
    push_after_the_approval: Reason.SELF_APPROVAL,
    approval_withdrawn: Reason.SELF_APPROVAL,
    approval_withdrawn_by_the_one_who_merges: Reason.APPROVAL_MISSING,
    approval_dismissed: Reason.SELF_APPROVAL,
    approved_by_a_bot: Reason.SELF_APPROVAL,
    merged_by_a_bot: Reason.APPROVAL_MISSING,
    approved_by_a_reader: Reason.APPROVER_NOT_ALLOWED,
    approved_by_somebody_who_lost_their_rights: Reason.APPROVER_NOT_ALLOWED,
    login_taken_over: Reason.APPROVER_NOT_ALLOWED,
    merged_into_another_branch: Reason.APPROVAL_MISSING,
    retargeted_after_the_approval: Reason.SELF_APPROVAL,
    altered_on_the_way: Reason.APPROVAL_STALE,
    hundred_and_first_review: Reason.SELF_APPROVAL,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__.replace("_", " "))
def test_trick(site: GitHubSite, trick: Callable[[GitHubSite, str], None], method: str) -> None:
    trick(site, method)
    refused(site, TRICKS[trick])


@pytest.mark.parametrize("method", METHODS)
def test_a_request_of_one_commit_that_somebody_approved_is_let_in(site: GitHubSite, method: str) -> None:
    site.declare("prod", 2, method)
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_request_of_several_commits_that_somebody_approved_is_let_in(site: GitHubSite, method: str) -> None:
    pull = bump(site, run=666)
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 2, suspend=True)}, "Try")
    site.deploy.push(site.engineer, pull.head, {"NOTES": "x"}, "Notes")
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 2)}, "Right")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)
    status = site.reconcile()["prod"]
    assert status.ready, status
    assert site.current("prod") == 2
    approval = next(word for word in status.gates if word.gate == "approval")
    assert any(f"reviewer({site.reviewer.id}) approved" in line for line in approval.evidence), approval.evidence


@pytest.mark.parametrize("method", METHODS)
def test_the_approval_on_the_second_page_counts(site: GitHubSite, method: str) -> None:
    talker = site.deploy.person("talker")
    pull = bump(site, run=2)
    for _ in range(100):
        site.deploy.review(pull, talker, "COMMENTED")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_two_are_asked_by_what_stood_before_whatever_the_request_says(site: GitHubSite, method: str) -> None:
    site.declare("prod", 1, approval={"required": 1})
    site.land({PROD: site.declaration("prod", 1, approval={"required": 2})})
    assert site.reconcile()["prod"].ready
    pull = site.pull({PROD: site.declaration("prod", 666, approval={"required": 1})})
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, method)
    refused(site, Reason.APPROVAL_MISSING)
    carol = site.deploy.person("carol")
    site.deploy.review(pull, carol, "APPROVED")  # a request can still be approved after its merge
    status = site.reconcile()["prod"]
    assert status.ready, status


@pytest.mark.parametrize("method", METHODS)
def test_a_team_is_asked_for_by_name_and_its_members_count_while_they_are_in_it(site: GitHubSite, method: str) -> None:
    carol = site.deploy.person("carol")
    team = site.hub.team("acme/sre", carol)
    rule = {"required": 1, "from": ["@acme/sre"]}
    site.declare("prod", 1, approval=rule)
    assert site.reconcile()["prod"].ready
    pull = site.pull({PROD: site.declaration("prod", 2, approval=rule)})
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.reviewer, method)
    refused(site, Reason.APPROVER_NOT_ALLOWED)
    site.deploy.review(pull, carol, "APPROVED")
    team.remove(carol)
    refused(site, Reason.APPROVER_NOT_ALLOWED)
    team.add(carol)
    assert ready(site) == 2


@pytest.mark.parametrize("method", METHODS)
def test_one_request_for_two_environments_is_judged_for_each(site: GitHubSite, method: str) -> None:
    carol = site.deploy.person("carol")
    rules = {"staging": ["reviewer"], "prod": ["carol"]}
    for name, people in rules.items():
        site.declare(name, 1, approval={"required": 1, "from": people})
    assert all(status.ready for status in site.reconcile().values())
    files = {
        file_of(name): site.declaration(name, 2, approval={"required": 1, "from": people})
        for name, people in rules.items()
    }
    pull = site.pull(files)
    site.deploy.review(pull, site.reviewer, "APPROVED")
    site.deploy.merge(pull, site.engineer, method)
    found = site.reconcile()
    assert found["staging"].ready
    assert found["prod"].reason is Reason.APPROVER_NOT_ALLOWED
    assert (site.current("staging"), site.current("prod")) == (2, 1)
    site.deploy.review(pull, carol, "APPROVED")
    assert ready(site) == 2


def test_a_direct_push_is_no_approval(site: GitHubSite) -> None:
    site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Just so")
    refused(site, Reason.APPROVAL_MISSING)


def test_an_open_request_that_contains_a_pushed_commit_is_no_approval(site: GitHubSite) -> None:
    pushed = site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Just so")
    site.deploy.push(site.engineer, "more", {"NOTES": "x"}, "Notes", onto=pushed)
    pull = site.deploy.open_pull(site.engineer, "more")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    refused(site, Reason.APPROVAL_MISSING)


def test_a_request_of_another_repository_is_no_approval(site: GitHubSite) -> None:
    """Merged within a fork, by whoever the fork belongs to, and then pushed here."""
    pushed = site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Just so")
    site.deploy.foreign_pull(pushed, site.reviewer)
    refused(site, Reason.APPROVAL_MISSING)


def test_pushing_the_head_of_somebody_elses_request_is_to_merge_it(site: GitHubSite) -> None:
    site.deploy.direct_push_of_pull(bump(site, run=2), site.reviewer)
    assert ready(site) == 2


def test_pushing_the_head_of_ones_own_request_is_to_approve_oneself(site: GitHubSite) -> None:
    site.deploy.direct_push_of_pull(bump(site), site.engineer)
    refused(site, Reason.SELF_APPROVAL)


@pytest.mark.parametrize("method", ["squash", "rebase"])
def test_a_push_that_looks_like_a_part_of_a_merged_request_is_not_let_in_by_it(site: GitHubSite, method: str) -> None:
    """A push, and behind it a request whose first commit is its twin: who merged saw the second commit only."""
    site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Change")
    twin = site.pull({"NOTES": "x"})
    site.deploy.push(site.engineer, twin.head, {"NOTES": "y"}, "More")
    site.deploy.review(twin, site.reviewer, "APPROVED")
    site.deploy.merge(twin, site.reviewer, method)
    refused(site, Reason.APPROVAL_MISSING)


def test_a_history_that_goes_around_the_end_of_a_rebased_request_is_refused(site: GitHubSite) -> None:
    """The tip's first parent is in the middle of the request, whose end only comes in from the side."""
    pull = bump(site)
    site.deploy.push(site.engineer, pull.head, {PROD: site.declaration("prod", 2)}, "Right")
    site.deploy.review(pull, site.reviewer, "APPROVED")
    last = site.deploy.merge(pull, site.engineer, "rebase")
    middle = site.deploy.parents(last)[0]
    tree = site.deploy.git("rev-parse", f"{middle}^{{tree}}").strip()
    who = ("-c", "user.name=E", "-c", "user.email=e@x.test")
    around = site.deploy.git(*who, "commit-tree", tree, "-p", middle, "-p", last, "-m", "Merge").strip()
    site.deploy.force_push(site.engineer, "main", CommitId(around))
    refused(site, Reason.APPROVAL_STALE, Reason.APPROVAL_MISSING)


def test_while_github_is_down_nothing_is_let_in_and_live_stays(site: GitHubSite) -> None:
    site.declare("prod", 2)
    site.hub.go_down()
    status = site.reconcile()["prod"]
    assert (status.sync, status.reason) == (Sync.HELD, Reason.FORGE_UNAVAILABLE), status
    assert site.current("prod") == 1
    site.hub.come_up()
    assert ready(site) == 2


def test_a_push_is_let_in_once_it_is_reverted_or_replaced_through_a_request(site: GitHubSite) -> None:
    site.deploy.push(site.engineer, "main", {PROD: site.declaration("prod", 666)}, "Just so")
    refused(site, Reason.APPROVAL_MISSING)
    site.declare("prod", 2, "squash")
    assert ready(site) == 2


def _branch_with_666(site: GitHubSite, onto: str = "main") -> str:
    site.deploy.push(site.engineer, "side", {PROD: site.declaration("prod", 666)}, "Aside", onto=onto)
    return "side"


def refused(site: GitHubSite, *reasons: Reason) -> Status:
    status = site.reconcile()["prod"]
    assert status.sync is Sync.HELD, status
    assert status.reason in reasons, status
    assert site.current("prod") == 1
    return status


def ready(site: GitHubSite) -> int | None:
    status = site.reconcile()["prod"]
    assert status.ready, status
    return site.current("prod")
