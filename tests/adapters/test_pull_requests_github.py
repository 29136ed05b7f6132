"""One comment and one status on GitHub's pull requests: whose they are, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.forges.github.answers import unavailable
from reconciler.forges.github.pull_requests import CONTEXT, GitHubPullRequests
from reconciler.github import AppOptions, GitHubOptions, connect
from reconciler.machine.clock import SystemClock
from reconciler.model import PlanNotice
from reconciler.ports import Parts
from reconciler.wiring import silent
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401
from tests.github.repository import HubRepository
from tests.github.state import Account, Pull, Status

TOKEN = "TOKEN_OF_THE_TESTS"
MARK = "<!-- reconciler-plan head=x digest=y -->"


class Stage:
    """A repository with one pull request, and whoever tells plans on it."""

    def __init__(self, github: GitHub, repository: HubRepository, folder: Path) -> None:  # noqa: F811
        self.github = github
        self.hub = github.hub
        self.deploy = repository
        self.folder = folder
        self.alice = repository.person("alice")
        self.pull = self.propose("bump", "one")
        self.plans = self.connect()

    @property
    def me(self) -> Account:
        return self.hub.operator

    def connect(self, repository_id: int | None = None, app: AppOptions | None = None) -> GitHubPullRequests:
        """Another process."""
        variable = None if app else TOKEN
        options = GitHubOptions(repository="acme/deploy", url=self.github.url, token_env=variable, app=app)
        parts = Parts(SystemClock(), Random(1), silent, Bounds(), self.folder)
        return GitHubPullRequests(connect(options, parts, unavailable), "main", repository_id)

    def propose(self, branch: str, text: str, base: str = "main") -> Pull:
        self.deploy.push(self.alice, branch, {f"environments/{branch}.yaml": text}, "Bump")
        return self.deploy.open_pull(self.alice, branch, base)

    def notice(self, text: str = "Held", *, refused: bool = True, pull: Pull | None = None, **more: bool) -> PlanNotice:
        about = pull or self.pull
        return PlanNotice(about.number, about.head_commit, f"{MARK}\n{text}\n", refused, text, **more)

    @property
    def comments(self) -> list[tuple[str, str]]:
        return [(one.author.login, one.body.partition("\n")[2].strip()) for one in self.deploy.comments(self.pull)]

    @property
    def statuses(self) -> list[Status]:
        return [one for one in self.deploy.statuses(self.pull.head_commit) if one.context == CONTEXT]

    def writes(self) -> list[str]:
        return [call.method for call in self.hub.log if call.method != "GET"]


@pytest.fixture
def stage(
    github: GitHub,  # noqa: F811
    hub_repository: HubRepository,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    monkeypatch.setenv(TOKEN, github.token)
    return Stage(github, hub_repository, tmp_path)


def test_a_notice_becomes_one_comment_and_one_status(stage: Stage) -> None:
    stage.plans.show(stage.notice("staging: RunNotFound"))
    assert stage.comments == [(stage.me.login, "staging: RunNotFound")]
    assert [(one.state, one.description) for one in stage.statuses] == [("failure", "staging: RunNotFound")]


def test_the_same_again_writes_nothing(stage: Stage) -> None:
    stage.plans.show(stage.notice())
    stage.hub.forget()
    stage.plans.show(stage.notice())
    assert stage.writes() == []
    assert stage.hub.requests == 3


def test_ten_pushes_leave_one_comment_that_was_edited_in_place(stage: Stage) -> None:
    stage.plans.show(stage.notice("0"))
    (first,) = stage.deploy.comments(stage.pull)
    for n in range(1, 11):
        stage.deploy.push(stage.alice, "bump", {"environments/bump.yaml": str(n)}, "Bump")
        stage.plans.show(stage.notice(str(n)))
        assert [one.description for one in stage.statuses] == [str(n)]
    (last,) = stage.deploy.comments(stage.pull)
    assert (last.id, last.body) == (first.id, f"{MARK}\n10\n")


def test_another_process_finds_the_comment_of_the_one_before(stage: Stage) -> None:
    stage.plans.show(stage.notice("before"))
    stage.connect().show(stage.notice("after"))
    assert stage.comments == [(stage.me.login, "after")]


def test_the_colour_follows_what_is_told(stage: Stage) -> None:
    for refused, broken, state in ((True, False, "failure"), (True, True, "error"), (False, False, "success")):
        stage.plans.show(stage.notice(state, refused=refused, broken=broken))
        assert stage.statuses[0].state == state


def test_somebody_else_s_comment_with_our_first_line_is_theirs(stage: Stage) -> None:
    theirs = stage.deploy.comment(stage.pull, stage.alice, f"{MARK}\nAll green, merge it")
    stage.plans.show(stage.notice())
    stage.plans.show(stage.notice("still held"))
    assert stage.comments == [("alice", "All green, merge it"), (stage.me.login, "still held")]
    assert theirs in stage.deploy.comments(stage.pull)


def test_what_we_say_without_the_mark_is_left_alone(stage: Stage) -> None:
    stage.deploy.comment(stage.pull, stage.me, f"See above.\n{MARK}\nquoted")
    stage.plans.show(stage.notice())
    assert len(stage.comments) == 2


def test_a_second_comment_of_ours_goes_and_the_first_stays(stage: Stage) -> None:
    kept = stage.deploy.comment(stage.pull, stage.me, f"{MARK}\nold")
    for _ in range(2):
        stage.deploy.comment(stage.pull, stage.me, f"{MARK}\nold too")
    stage.plans.show(stage.notice("new"))
    assert [one.id for one in stage.deploy.comments(stage.pull)] == [kept.id]
    assert stage.comments == [(stage.me.login, "new")]


def test_our_comment_is_found_behind_a_hundred_others(stage: Stage) -> None:
    for n in range(100):
        stage.deploy.comment(stage.pull, stage.alice, f"Word {n}")
    stage.deploy.comment(stage.pull, stage.me, f"{MARK}\nold")
    stage.plans.show(stage.notice("new"))
    assert len(stage.comments) == 101
    assert stage.comments[-1] == (stage.me.login, "new")


def test_somebody_else_s_status_of_our_context_is_answered_by_ours(stage: Stage) -> None:
    stage.plans.show(stage.notice("Held"))
    api = f"/repos/acme/deploy/statuses/{stage.pull.head_commit}"
    stage.deploy.allow(stage.alice, "write")
    token = stage.hub.tokens.add(stage.alice, "ghp_" + "a" * 36)
    for state, words in (("success", "fine"), ("failure", "Held")):
        post(stage, api, token, {"state": state, "context": CONTEXT, "description": words})
        assert stage.statuses[0].account == stage.alice
        stage.plans.show(stage.notice("Held"))
        assert (stage.statuses[0].state, stage.statuses[0].account) == ("failure", stage.me)


def post(stage: Stage, path: str, token: str, body: dict[str, str]) -> None:
    import requests

    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    answer = requests.post(stage.github.url + path, json=body, headers=headers, timeout=10)
    assert answer.status_code == 201, answer.text


def test_nothing_is_told_of_a_head_that_moved_on(stage: Stage) -> None:
    old = stage.notice()
    stage.deploy.push(stage.alice, "bump", {"environments/bump.yaml": "two"}, "Bump")
    stage.plans.show(old)
    assert stage.comments == []
    assert stage.statuses == []
    assert stage.deploy.statuses(old.head) == []


@pytest.mark.parametrize("end", ["closed", "merged", "retargeted"])
def test_nothing_is_told_on_a_request_that_is_none_any_more(stage: Stage, end: str) -> None:
    stage.deploy.push(stage.alice, "release", {"a": "b"}, "Other")
    ends: dict[str, Callable[[], object]] = {
        "closed": lambda: stage.deploy.close(stage.pull),
        "merged": lambda: stage.deploy.merge(stage.pull, stage.alice),
        "retargeted": lambda: stage.deploy.retarget(stage.pull, "release"),
    }
    ends[end]()
    stage.plans.show(stage.notice())
    assert (stage.comments, stage.statuses) == ([], [])
    assert stage.plans.get(stage.pull.number) is None
    assert stage.plans.open() == ()


def test_a_quiet_notice_sets_the_status_and_edits_a_comment_but_makes_none(stage: Stage) -> None:
    stage.plans.show(stage.notice("nothing", refused=False, quiet=True))
    assert (stage.comments, stage.statuses[0].state) == ([], "success")
    stage.plans.show(stage.notice("Held"))
    stage.plans.show(stage.notice("nothing", refused=False, quiet=True))
    assert stage.comments == [(stage.me.login, "nothing")]


def test_open_requests_are_those_against_the_tracked_branch_on_all_pages(stage: Stage) -> None:
    stage.deploy.push(stage.alice, "release", {"a": "b"}, "Other")
    stage.propose("elsewhere", "x", base="release")
    stage.deploy.close(stage.propose("closed", "x"))
    for _ in range(100):
        stage.deploy.open_pull(stage.alice, "bump")
    fork = stage.deploy.fork_pull(stage.hub.person("mallory"), {"environments/x.yaml": "x"}, "Let me in")
    found = {one.number: one for one in stage.plans.open()}
    assert len(found) == 102
    assert found[fork.number].head == fork.head_commit
    one = found[stage.pull.number]
    assert (one.head, one.head_ref) == (stage.pull.head_commit, f"refs/pull/{one.number}/head")
    assert stage.deploy.git("rev-parse", one.head_ref).strip() == one.head
    assert stage.plans.get(one.number) == one


def test_a_repository_that_was_made_anew_under_the_name_is_another_one(stage: Stage) -> None:
    assert stage.connect(stage.deploy.id).open() != ()
    assert stage.connect(stage.deploy.id + 1).open() == ()
    assert stage.connect(stage.deploy.id + 1).get(stage.pull.number) is None


def test_a_number_that_is_nobody_s_is_none(stage: Stage) -> None:
    assert stage.plans.get(4711) is None


@pytest.mark.parametrize(("part", "permission"), [("/comments", "Pull requests"), ("/statuses/", "Commit statuses")])
def test_a_missing_permission_is_named(stage: Stage, part: str, permission: str) -> None:
    stage.hub.fail(403, path=part, method="POST")
    with pytest.raises(Transient) as caught:
        stage.plans.show(stage.notice())
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert f"{permission}: write" in caught.value.hint
    assert type(caught.value).__name__ == "CredentialsNeeded"
    stage.plans.show(stage.notice())
    assert (len(stage.comments), len(stage.statuses)) == (1, 1)


def test_a_comment_that_somebody_removes_meanwhile_is_made_again(stage: Stage) -> None:
    stage.plans.show(stage.notice("old"))
    stage.hub.fail(404, path="/issues/comments/", method="PATCH")
    stage.plans.show(stage.notice("new"))
    assert stage.comments[-1] == (stage.me.login, "new")


def test_a_long_summary_is_cut_where_github_cuts(stage: Stage) -> None:
    stage.plans.show(stage.notice("x" * 300))
    assert stage.statuses[0].description == "x" * 140


def test_an_app_finds_its_own_comments(stage: Stage) -> None:
    app = stage.hub.app()
    key = stage.folder / "key.pem"
    key.write_text(app.key)
    options = AppOptions(id=app.id, installation=app.installation, key_file=key)
    for text in ("one", "two"):
        stage.connect(app=options).show(stage.notice(text))
    assert stage.comments == [(app.account.login, "two")]


def test_a_github_that_is_down_is_unavailable(stage: Stage) -> None:
    stage.hub.go_down()
    for ask in (stage.plans.open, lambda: stage.plans.get(1), lambda: stage.plans.show(stage.notice())):
        with pytest.raises(Transient) as caught:
            ask()
        assert caught.value.reason is Reason.FORGE_UNAVAILABLE
