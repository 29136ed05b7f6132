"""The referee itself: what the hub's API says is what git holds, and no wrong request or answer goes by."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from tests.github import bodies, description, webhooks
from tests.github.git import Conflict
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401 - fixtures
from tests.github.repository import HubRepository
from tests.github.routing import Request, find
from tests.github.state import Account, Pull

METHODS = ("merge", "squash", "rebase")


class Asking:
    """Asks GitHub, through the judge."""

    def __init__(self, github: GitHub) -> None:  # noqa: F811
        self.github = github
        self.session = requests.Session()
        headers = {"Authorization": f"Bearer {github.token}", "Accept": "application/vnd.github+json"}
        self.session.headers.update(headers)

    def send(self, method: str, path: str, **what: Any) -> requests.Response:
        where = path if path.startswith("http") else self.github.url + path
        return self.session.request(method, where, allow_redirects=False, timeout=30, **what)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.send("GET", path, params=query)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = self.send("POST", path, json=body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()


R = "/repos/acme/deploy"


@pytest.fixture
def api(github: GitHub) -> Asking:  # noqa: F811
    return Asking(github)


@pytest.fixture
def repository(hub_repository: HubRepository) -> HubRepository:  # noqa: F811
    return hub_repository


@pytest.fixture
def alice(repository: HubRepository) -> Account:
    return repository.person("alice")


@pytest.fixture
def bob(repository: HubRepository) -> Account:
    return repository.person("bob", "maintain")


def change(repository: HubRepository, author: Account, branch: str = "bump", count: int = 2) -> Pull:
    for number in range(1, count + 1):
        repository.push(author, branch, {"dev.yaml": f"run: {number}\n"}, f"Bump to {number}")
    return repository.open_pull(author, branch, title="Bump")


# --- the judge ------------------------------------------------------------------------------------


def test_a_wrong_request_is_a_violation(github: GitHub, repository: HubRepository, api: Asking) -> None:  # noqa: F811
    api.send("GET", f"{R}/pulls", params={"state": "merged"})
    api.send("POST", f"{R}/statuses/{repository.tip()}", json={"context": "x", "state": "green"})
    api.send("POST", f"{R}/issues/1/comments", json={})
    api.send("GET", "/repos/acme/deploy/hooks")
    api.send("GET", f"{R}/pulls", params={"perpage": 100})
    found = github.violations()
    assert len(found) == 5, found
    assert "request.query.state" in found[0]
    assert "request.body.state" in found[1]
    assert "body" in found[2]
    assert "route not found" in found[3].lower()
    assert "no parameter 'perpage'" in found[4]


def test_a_wrong_answer_is_a_violation(
    github: GitHub,  # noqa: F811
    repository: HubRepository,
    api: Asking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = bodies.public_account
    monkeypatch.setattr(bodies, "public_account", lambda hub, who: whole(hub, who) | {"id": str(who.id)})
    api.get("/users/reconciler-operator")
    github.hub.fail(418, path="/pulls")
    api.send("GET", f"{R}/pulls")
    github.hub.fail(200, path="/pulls", body=b'{"not": "a list"}')
    api.send("GET", f"{R}/pulls")
    found = github.violations()
    assert len(found) == 3, found
    assert "response.body" in found[0]
    assert "418" in found[1]
    assert "must be array" in found[2]


def test_a_mistake_of_the_hub_itself_is_shown(
    github: GitHub,  # noqa: F811
    repository: HubRepository,
    api: Asking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "whole_repository", lambda _: 1 // 0)
    api.send("GET", R)
    (found,) = github.violations()
    assert "the hub failed" in found
    assert "ZeroDivisionError" in found


def test_a_test_that_breaks_the_description_fails(tmp_path: Path) -> None:
    """The whole way: a test of its own, run by pytest, whose code asks for something wrong."""
    test = tmp_path / "test_wrong.py"
    test.write_text(
        "import requests\n"
        "from tests.github.plugin import github, referee\n"
        "def test_wrong(github):\n"
        "    headers = {'Authorization': f'Bearer {github.token}'}\n"
        "    assert requests.get(f'{github.url}/repos/a/b/pulls?state=no', headers=headers).status_code == 404\n"
    )
    root = str(Path(__file__).parents[2])
    # In a folder of its own: else it clears away what earlier runs left, however much that is.
    options = ["-p", "no:cacheprovider", "-c", f"{root}/pyproject.toml", f"--basetemp={tmp_path}/its"]
    command = [sys.executable, "-m", "pytest", *options, str(test)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "request.query.state" in done.stdout


def test_prism_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from tests.github.prism import Prism\n"
        "prism = Prism('http://127.0.0.1:9', pathlib.Path(sys.argv[1]))\n"
        "print(prism.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        prism = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{prism}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{prism}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{prism}").exists()


def test_each_operation_is_in_githubs_description_and_answered_by_the_hub(github: GitHub) -> None:  # noqa: F811
    for method, path in description.OPERATIONS:
        request = Request(github.hub, method.upper(), path.replace("{", "").replace("}", ""), {}, b"")
        find(request)  # raises when nobody answers
    cut = json.loads(description.cut().read_text())
    assert {(method, path) for path, found in cut["paths"].items() for method in found} == set(description.OPERATIONS)


# --- pull requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_is_in_git_as_the_api_says(
    method: str, repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pull, before = change(repository, alice), repository.tip()
    assert repository.git("rev-parse", "refs/pull/1/head") == pull.head_commit
    assert repository.git("rev-parse", "refs/pull/1/merge") == api.get(f"{R}/pulls/1")["merge_commit_sha"]
    merged = repository.merge(pull, bob, method)
    told = api.get(f"{R}/pulls/1")
    assert (told["state"], told["merged"], told["merged_by"]["id"]) == ("closed", True, bob.id)
    assert told["merge_commit_sha"] == merged == repository.tip()
    assert told["head"]["sha"] == pull.head_commit
    assert repository.show(merged, "dev.yaml") == "run: 2"
    chain = repository.git("rev-list", "--first-parent", f"{before}..main").split()
    assert len(chain) == {"merge": 1, "squash": 1, "rebase": 2}[method]
    assert tuple(reversed(chain)) == pull.landed
    assert len(repository.parents(merged)) == {"merge": 2, "squash": 1, "rebase": 1}[method]
    author, committer = repository.git("show", "-s", "--format=%ae|%ce", merged).split("|")
    assert (author, committer) == {
        "merge": (bob.email, "noreply@github.com"),
        "squash": (alice.email, "noreply@github.com"),
        "rebase": (alice.email, bob.email),
    }[method]
    for commit in chain:
        assert [one["number"] for one in api.get(f"{R}/commits/{commit}/pulls")] == [1]
    assert repository.bare.tip("refs/pull/1/merge") is None


def test_messages_are_githubs_own(repository: HubRepository, alice: Account, bob: Account) -> None:
    carol = repository.person("carol")
    merged = repository.merge(change(repository, alice), bob, "merge")
    assert repository.git("show", "-s", "--format=%B", merged) == "Merge pull request #1 from acme/bump\n\nBump"
    repository.push(alice, "one", {"a": "1"}, "Only one\n\nWith a body", co_authors=(carol,))
    squashed = repository.merge(repository.open_pull(alice, "one", title="Another"), bob, "squash")
    text = repository.git("show", "-s", "--format=%B", squashed)
    assert text == f"Only one (#2)\n\nWith a body\n\nCo-authored-by: {carol.author}"
    repository.push(alice, "two", {"a": "2"}, "First")
    repository.push(carol, "two", {"a": "3"}, "Second")
    squashed = repository.merge(repository.open_pull(alice, "two", title="Both"), bob, "squash")
    text = repository.git("show", "-s", "--format=%B", squashed)
    assert text == f"Both (#3)\n\n* First\n\n* Second\n\nCo-authored-by: {carol.author}"


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_can_hold_other_content(
    method: str, repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pull = change(repository, alice)
    merged = repository.merge(pull, bob, method, tamper={"dev.yaml": "run: 666\n"})
    assert repository.show(merged, "dev.yaml") == "run: 666"
    assert repository.show(pull.head_commit, "dev.yaml") == "run: 2"
    assert api.get(f"{R}/commits/{merged}/pulls")[0]["merge_commit_sha"] == merged
    assert repository.git("show", "-s", "--format=%ae", merged) == (bob if method == "merge" else alice).email


def test_a_push_moves_the_head_and_leaves_reviews_at_the_old_one(
    repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pull = change(repository, alice, count=1)
    old = pull.head_commit
    review = repository.review(pull, bob, "APPROVED")
    new = repository.push(alice, "bump", {"dev.yaml": "run: 9\n"}, "More")
    assert api.get(f"{R}/pulls/1")["head"]["sha"] == new == repository.git("rev-parse", "refs/pull/1/head")
    (told,) = api.get(f"{R}/pulls/1/reviews")
    assert (told["commit_id"], told["state"], told["user"]["id"]) == (old, "APPROVED", bob.id)
    repository.dismiss(review)
    assert api.get(f"{R}/pulls/1/reviews")[0]["state"] == "DISMISSED"
    assert [one["sha"] for one in api.get(f"{R}/pulls/1/commits")] == [old, new]


def test_a_pull_request_that_was_pushed_is_shown_as_merged_by_who_pushed(
    repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pull = change(repository, alice)
    head = repository.direct_push_of_pull(pull, bob)
    told = api.get(f"{R}/pulls/1")
    assert (told["merged"], told["merged_by"]["id"], told["merge_commit_sha"]) == (True, bob.id, head)
    assert repository.tip() == head


def test_an_open_pull_request_that_contains_a_commit_is_named_with_it(
    repository: HubRepository, alice: Account, api: Asking
) -> None:
    pull = change(repository, alice)
    repository.push(alice, "bump", {"more": "1"}, "More")
    (told,) = api.get(f"{R}/commits/{pull.commits[0]}/pulls")
    assert (told["number"], told["state"], told["merged_at"]) == (1, "open", None)
    repository.close(pull)
    assert api.get(f"{R}/commits/{pull.commits[0]}/pulls") == []


def test_a_fork_has_another_id_and_its_commits_are_known_here(repository: HubRepository, api: Asking) -> None:
    stranger = repository.hub.person("stranger")
    pull = repository.fork_pull(stranger, {"dev.yaml": "run: 666\n"}, "Bump")
    told = api.get(f"{R}/pulls/1")
    assert told["head"]["repo"]["id"] == pull.head_repository.id != told["base"]["repo"]["id"] == repository.id
    assert api.get(f"{R}/commits/{pull.head_commit}")["sha"] == pull.head_commit
    assert not repository.bare.contains("refs/heads/main", pull.head_commit)
    assert api.get(f"{R}/compare/main...{pull.head_commit}")["status"] == "ahead"


@pytest.mark.parametrize("method", METHODS)
def test_what_a_fork_brings_is_merged_by_each_method(method: str, repository: HubRepository, bob: Account) -> None:
    pull = repository.fork_pull(repository.hub.person("stranger"), {"dev.yaml": "run: 2\n"}, "Bump")
    merged = repository.merge(pull, bob, method)
    assert (repository.tip(), repository.show(merged, "dev.yaml")) == (merged, "run: 2")


def test_a_pull_request_of_a_fork_that_brought_our_commit_is_of_the_forks_base(
    repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pushed = repository.push(alice, "main", {"dev.yaml": "run: 666\n"}, "Just so")
    pull = repository.foreign_pull(pushed, bob)
    (told,) = api.get(f"{R}/commits/{pushed}/pulls")
    assert (told["base"]["repo"]["id"], told["merge_commit_sha"]) == (pull.repository.id, pushed)
    assert told["base"]["repo"]["id"] != repository.id


def test_a_retargeted_pull_request_says_so_on_its_time_line(
    repository: HubRepository, alice: Account, api: Asking
) -> None:
    repository.push(alice, "release", {"x": "1"}, "Release")
    pull = change(repository, alice)
    repository.retarget(pull, "release", alice)
    assert api.get(f"{R}/pulls/1")["base"]["ref"] == "release"
    assert [one["event"] for one in api.get(f"{R}/issues/1/events")] == ["base_ref_changed"]


def test_a_conflict_is_no_merge(repository: HubRepository, alice: Account, bob: Account, api: Asking) -> None:
    pull = change(repository, alice)
    repository.push(bob, "main", {"dev.yaml": "run: other\n"}, "Other")
    assert api.get(f"{R}/pulls/1")["mergeable"] is False
    for method in ("merge", "squash"):
        with pytest.raises(Conflict):
            repository.merge(pull, bob, method)


def test_a_hundred_and_one_reviews_are_two_pages(repository: HubRepository, alice: Account, api: Asking) -> None:
    pull = change(repository, alice)
    for _ in range(101):
        repository.review(pull, alice, "COMMENTED")
    answer = api.send("GET", f"{R}/pulls/1/reviews", params={"per_page": 100})
    assert len(answer.json()) == 100
    (more,) = api.get(answer.links["next"]["url"])
    assert more["id"] == pull.reviews[-1].id
    assert answer.links["next"]["url"].startswith(api.github.url)


def test_pull_requests_are_opened_edited_and_found(repository: HubRepository, alice: Account, api: Asking) -> None:
    repository.push(alice, "feature/x", {"x": "1"}, "X")
    asked = {"title": "X", "head": "feature/x", "base": "main", "body": "Why"}
    made = api.post(f"{R}/pulls", asked)
    assert "already exists" in json.dumps(api.post(f"{R}/pulls", asked, 422))
    api.post(f"{R}/pulls", asked | {"head": "absent"}, 422)
    assert [one["number"] for one in api.get(f"{R}/pulls", head="acme:feature/x")] == [made["number"]]
    assert api.get(f"{R}/pulls", head="acme:other") == []
    answer = api.send("PATCH", f"{R}/pulls/{made['number']}", json={"title": "Y", "body": "Because"})
    assert (answer.json()["title"], repository.pulls[0].body) == ("Y", "Because")


def test_activity_tells_who_moved_a_branch(
    repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    pull = change(repository, alice, count=1)
    repository.push(bob, "bump", {"x": "1"}, "More", author=alice)
    before = repository.tip()
    merged = repository.merge(pull, bob)
    told = api.get(f"{R}/activity", ref="refs/heads/bump")
    assert [(one["activity_type"], one["actor"]["id"]) for one in told] == [
        ("push", bob.id),
        ("branch_creation", alice.id),
    ]
    latest = api.get(f"{R}/activity", ref="main")[0]
    assert (latest["activity_type"], latest["before"], latest["after"]) == ("pr_merge", before, merged)
    repository.force_push(alice, "main", before)
    assert api.get(f"{R}/activity")[0]["activity_type"] == "force_push"
    answer = api.send("GET", f"{R}/activity", params={"per_page": 2})
    assert len(api.get(answer.links["next"]["url"])) == 2


def test_people_are_told_by_id_rights_and_teams(
    repository: HubRepository, alice: Account, bob: Account, api: Asking
) -> None:
    told = api.get(f"{R}/collaborators/bob/permission")
    assert (told["permission"], told["role_name"], told["user"]["id"]) == ("write", "maintain", bob.id)
    team = repository.hub.team("acme/sre", bob)
    assert api.get("/orgs/acme/teams/sre/memberships/bob")["state"] == "active"
    team.remove(bob)
    assert api.send("GET", "/orgs/acme/teams/sre/memberships/bob").status_code == 404
    repository.hub.rename(alice, "alice-before")
    other = repository.person("alice", "read")
    assert api.get("/users/alice")["id"] == other.id != alice.id
    assert api.get(f"/user/{alice.id}")["login"] == "alice-before"
    commits = api.get(f"{R}/commits", author="reconciler-operator", sha="main")
    assert [one["sha"] for one in commits] == [repository.tip()]
    assert repository.hub.by_email(f"{alice.id}+alice@users.noreply.github.com") is alice
    bot = repository.hub.bot("helper[bot]")
    assert (api.get("/users/helper%5Bbot%5D")["id"], api.get(f"/user/{bot.id}")["type"]) == (bot.id, "Bot")


# --- CI -------------------------------------------------------------------------------------------


def test_an_artifact_is_downloaded_from_storage_in_parts_without_a_token(
    repository: HubRepository, api: Asking
) -> None:
    artifact = repository.run(77).artifact("shop", {"shop.txt": "1\n"})
    told = api.get(f"{R}/actions/runs/77/artifacts")["artifacts"][0]
    answer = api.send("GET", f"{R}/actions/artifacts/{told['id']}/zip")
    assert answer.status_code == 302
    link = answer.headers["Location"]
    assert link.startswith(repository.hub.storage.url)
    data = requests.get(link, timeout=10).content
    assert told["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert zipfile.ZipFile(io.BytesIO(data)).read("shop.txt") == b"1\n"
    rest = requests.get(link, headers={"Range": "bytes=10-"}, timeout=10)
    assert (rest.status_code, rest.content) == (206, data[10:])
    assert requests.get(link.replace("sig=", "sig=x"), timeout=10).status_code == 403
    assert repository.hub.storage.tokens_seen == []
    requests.get(link, headers={"Authorization": "Bearer x"}, timeout=10)
    assert repository.hub.storage.tokens_seen == ["Bearer x"]
    artifact.expire()
    assert api.send("GET", f"{R}/actions/artifacts/{told['id']}/zip").status_code == 410
    artifact.delete()
    assert api.get(f"{R}/actions/runs/77/artifacts")["total_count"] == 0


def test_a_run_is_told_with_its_attempt_and_where_its_code_came_from(
    repository: HubRepository, alice: Account, api: Asking
) -> None:
    fork = repository.fork(repository.hub.person("stranger"))
    run = repository.run(78, head_repository=fork, event="pull_request", status="in_progress")
    told = api.get(f"{R}/actions/runs/78")
    assert (told["status"], told["conclusion"], told["run_attempt"]) == ("in_progress", None, 1)
    assert (told["repository"]["id"], told["head_repository"]["id"]) == (repository.id, fork.id)
    run.finish()
    assert api.get(f"{R}/actions/runs/78")["conclusion"] == "success"
    run.rerun(conclusion="failure")
    told = api.get(f"{R}/actions/runs/78")
    assert (told["conclusion"], told["run_attempt"]) == ("failure", 2)
    for number in range(101):
        run.artifact(f"part-{number}", {"x": "y"})
    answer = api.send("GET", f"{R}/actions/runs/78/artifacts", params={"per_page": 100})
    assert len(api.get(answer.links["next"]["url"])["artifacts"]) == 1
    run.delete()
    assert api.send("GET", f"{R}/actions/runs/78").status_code == 404


# --- what is told ---------------------------------------------------------------------------------


def test_comments_and_statuses_are_kept(repository: HubRepository, alice: Account, api: Asking) -> None:
    pull = change(repository, alice)
    made = api.post(f"{R}/issues/1/comments", {"body": "Plan"})
    api.send("PATCH", f"{R}/issues/comments/{made['id']}", json={"body": "Plan 2"})
    assert [one["body"] for one in api.get(f"{R}/issues/1/comments")] == ["Plan 2"]
    assert api.send("DELETE", f"{R}/issues/comments/{made['id']}").status_code == 204
    assert repository.comments(pull) == []
    words = {"context": "reconciler/plan", "description": "Held"}
    api.post(f"{R}/statuses/{pull.head_commit}", words | {"state": "failure"})
    api.post(f"{R}/statuses/{pull.head_commit}", words | {"state": "success"})
    told = api.get(f"{R}/commits/{pull.head_commit}/statuses")
    assert [one["state"] for one in told] == ["success", "failure"]
    assert [one.state for one in repository.statuses(pull.head_commit)] == ["success", "failure"]
    api.post(f"{R}/statuses/{pull.head_commit}", words | {"state": "success", "description": "x" * 141}, 422)
    api.post(f"{R}/statuses/{'0' * 40}", words | {"state": "success"}, 422)


def test_deployments_merge_and_judge_unless_told_otherwise(
    repository: HubRepository, alice: Account, api: Asking
) -> None:
    pull = change(repository, alice)
    repository.push(alice, "main", {"x": "1"}, "Go on")
    api.post(f"{R}/deployments", {"ref": "bump"}, 202)
    api.post(f"{R}/statuses/{pull.head_commit}", {"state": "failure", "context": "reconciler/plan"})
    plain = {"ref": pull.head_commit, "environment": "dev", "auto_merge": False}
    api.post(f"{R}/deployments", plain, 409)
    made = [api.post(f"{R}/deployments", plain | {"required_contexts": []}) for _ in range(2)]
    for one in made:
        told = {"state": "success", "environment_url": "https://dev.example.com", "log_url": "https://x.example.com"}
        api.post(f"{R}/deployments/{one['id']}/statuses", told)
    assert [one.state for one in repository.deployments] == ["inactive", "success"]
    assert [one["id"] for one in api.get(f"{R}/deployments", environment="dev")] == [made[1]["id"], made[0]["id"]]
    told = api.get(f"{R}/deployments/{made[0]['id']}/statuses")
    assert [one["state"] for one in told] == ["inactive", "success"]
    assert api.get(f"{R}/deployments/{made[0]['id']}")["sha"] == pull.head_commit


# --- limits, faults, credentials --------------------------------------------------------------------


def test_an_etag_saves_an_answer_and_its_cost(repository: HubRepository, api: Asking) -> None:
    first = api.send("GET", R)
    again = api.send("GET", R, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-RateLimit-Remaining"] == first.headers["X-RateLimit-Remaining"]
    repository.hub.rename(repository.person("acme"), "acme")
    assert api.send("GET", R, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    assert [call.status for call in repository.hub.log] == [200, 304, 200]


def test_limits_failures_and_silence_are_no_violations(repository: HubRepository, api: Asking) -> None:
    hub = repository.hub
    hub.limit_rate(remaining=1)
    assert [api.send("GET", R).status_code for _ in range(2)] == [200, 403]
    hub.unlimit()
    hub.limit_secondary(retry_after=7)
    assert api.send("GET", R).headers["Retry-After"] == "7"
    hub.unlimit()
    hub.fail(502, times=2, body=b"<html>")
    assert [api.send("GET", R).status_code for _ in range(3)] == [502, 502, 200]
    hub.go_down()
    assert api.send("GET", R).status_code == 500
    hub.come_up()
    assert api.send("GET", R).status_code == 200
    assert api.send("GET", R, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_an_app_gets_a_token_for_its_signed_word(repository: HubRepository, api: Asking) -> None:
    app = repository.hub.app()
    now = int(time.time())

    def ask(**claims: Any) -> requests.Response:
        word = jwt.encode({"iat": now - 60, "exp": now + 500, "iss": str(app.id)} | claims, app.key, "RS256")
        path = f"/app/installations/{app.installation}/access_tokens"
        return api.send("POST", path, headers={"Authorization": f"Bearer {word}"})

    made = ask()
    assert made.status_code == 201
    assert api.send("GET", R, headers={"Authorization": f"Bearer {made.json()['token']}"}).status_code == 200
    assert ask(exp=now + 700).status_code == 401
    assert ask(exp=now - 1).status_code == 401
    assert ask(iss="1").status_code == 401
    repository.hub.tokens.revoke_installations()
    assert api.send("GET", R, headers={"Authorization": f"Bearer {made.json()['token']}"}).status_code == 401


# --- webhooks ---------------------------------------------------------------------------------------


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
        finally:
            server.shutdown()
            thread.join(10)


def test_deliveries_are_signed_and_tell_what_happened(repository: HubRepository, alice: Account, bob: Account) -> None:
    with receiver() as (url, got):
        webhook = repository.webhook(url, "secret")
        webhook.ping()
        pull = change(repository, alice, count=1)
        repository.review(pull, bob, "APPROVED")
        repository.run(79)
        merged = repository.merge(pull, bob, "squash")
    events = [headers["x-github-event"] for headers, _ in got]
    assert events == ["ping", "push", "pull_request", "pull_request_review", "workflow_run", "pull_request", "push"]
    for headers, body in got:
        wanted = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        assert headers["x-hub-signature-256"] == f"sha256={wanted}"
        assert json.loads(body)["repository"]["id"] == repository.id
    closed, push = (json.loads(body) for _, body in got[-2:])
    assert (closed["action"], closed["pull_request"]["merged"], closed["number"]) == ("closed", True, 1)
    assert (push["ref"], push["after"], push["sender"]["id"]) == ("refs/heads/main", merged, bob.id)
    assert all(delivery.status == 202 for delivery in webhook.deliveries)
    assert "merge_group" in webhooks.examples()
