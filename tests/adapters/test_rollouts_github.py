"""Rollouts shown as deployments at GitHub, judged by GitHub's own description; and whatever may cut them off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler.bounds import Bounds
from reconciler.chores import rollouts, turns
from reconciler.chores.rollouts import REMEMBERED, Rollouts
from reconciler.chores.turns import PATIENCE
from reconciler.errors import PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.forges.github.answers import unavailable
from reconciler.forges.github.deployments import TASK, GitHubDeployments
from reconciler.github import Api, GitHubOptions, connect
from reconciler.machine.clock import SystemClock
from reconciler.model import (
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    Outcome,
    Release,
    Rollout,
    RolloutState,
    RunId,
    Status,
    Sync,
    Verdict,
)
from reconciler.ports import Parts
from reconciler.stores.sql import SqlStore
from tests.adapters.githubs import Later
from tests.factories import NOON
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401
from tests.github.repository import HubRepository
from tests.github.state import Deployment

STAGING, PROD = EnvironmentName("staging"), EnvironmentName("shop/prod")
LET_IN = GateResult(Gate.APPROVAL, Verdict.PASSED)
LIVE, ON_ITS_WAY, QUEUED, GONE = "success", "in_progress", "queued", "inactive"


def release(run: int) -> Release:
    return Release(f"{run}-x", RunId(run), Digest(f"{run:064x}"))


def _store(path: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{path}", SystemClock(), lambda step: None)


class Site:
    """A store in which passes leave what they leave, and what the forge shows of it."""

    def __init__(self, folder: Path, github: GitHub, repository: HubRepository) -> None:  # noqa: F811
        self.folder = folder
        self.clock = Later()
        self.github = github
        self.repository = repository
        (folder / "token").write_text(github.token)
        self._stores = count()
        self._engineer = repository.person(f"engineer-{next(_NONCE)}")
        self.store = self._opened()
        self.live: dict[EnvironmentName, Release | None] = {}
        self.service = self.restarted()

    def _opened(self) -> SqlStore:
        """An empty store; a copy of the first, since making one takes a while."""
        path, empty = self.folder / f"state-{next(self._stores)}.db", self.folder / "empty.db"
        if not empty.exists():
            store = _store(empty)
            store.statuses()
            store.close()
        shutil.copy(empty, path)
        return _store(path)

    def api(self) -> Api:
        parts = Parts(self.clock, Random(0), lambda step: None, Bounds(), self.folder)
        options = GitHubOptions(repository=self.repository.name, url=self.github.url, token_file=self.folder / "token")
        return connect(options, parts, unavailable)

    def restarted(self) -> Rollouts:
        """A process that knows nothing but the store."""
        self.service = Rollouts(self.store, GitHubDeployments(self.api()))
        return self.service

    def lose_store(self) -> None:
        self.store = self._opened()

    # --- what happens -----------------------------------------------------------------------------

    def declare(self, run: int, environment: EnvironmentName = PROD) -> Declared:
        path = f"environments/{environment}.yaml"
        commit = self.repository.push(
            self._engineer, "main", {path: f"run_id: {run}\n# {next(_NONCE)}\n"}, f"Run {run}"
        )
        return Declared(CommitId(commit), RunId(run), Digest(f"{run:064x}"))

    def begin(self, declared: Declared, environment: EnvironmentName = PROD, action: Action = Action.DEPLOY) -> Attempt:
        before = self.live.get(environment)
        return self.store.begin(Attempt(environment, action, declared, before, NOON, gates=(LET_IN,)))

    def end(self, attempt: Attempt, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        done = replace(attempt, outcome=outcome, finished=NOON)
        if outcome is Outcome.SUCCEEDED:
            run = attempt.declared.run_id
            assert run is not None
            self.live[attempt.environment] = release(run)
            self.store.finish(done, self.synced(attempt.declared, attempt.environment), None)
        else:
            done = replace(done, reason=Reason.TARGET_UNAVAILABLE, message="no space left")
            self.store.finish(done, self.held(attempt.declared, attempt.environment, done.reason), None)

    def deploy(self, run: int, environment: EnvironmentName = PROD, action: Action = Action.DEPLOY) -> Declared:
        declared = self.declare(run, environment)
        self.end(self.begin(declared, environment, action))
        return declared

    def refuse(
        self,
        declared: Declared,
        reason: Reason = Reason.SOAKING,
        gate: Gate = Gate.PROMOTION,
        environment: EnvironmentName = PROD,
    ) -> None:
        word = GateResult(gate, Verdict.HELD, reason, "not yet")
        words = (word,) if gate is Gate.APPROVAL else (LET_IN, word)
        attempt = Attempt(environment, Action.DEPLOY, declared, self.live.get(environment), NOON, gates=words)
        attempt = replace(attempt, outcome=Outcome.REFUSED, finished=NOON, reason=reason, message="not yet")
        self.store.refuse(attempt, self.held(declared, environment, reason))

    def synced(self, declared: Declared, environment: EnvironmentName = PROD) -> Status:
        live = self.live.get(environment)
        return Status(environment, Sync.SYNCED, Health.HEALTHY, None, "", "", declared, live, NOON, ())

    def held(self, declared: Declared, environment: EnvironmentName, reason: Reason | None) -> Status:
        return replace(self.synced(declared, environment), sync=Sync.HELD, reason=reason)

    # --- what is shown ----------------------------------------------------------------------------

    def told(self, environment: EnvironmentName = PROD) -> list[tuple[int, list[str]]]:
        """Every deployment, oldest first: its run, and the states it went through."""
        mine = [one for one in self.repository.deployments if one.environment == environment]
        return [(_payload(one)["run_id"], [state for state, _ in _said(one)]) for one in mine]


_NONCE = count()


def _said(deployment: Deployment) -> list[tuple[str, str]]:
    """Every status, oldest first."""
    return [(one.state, one.description) for one in sorted(deployment.statuses, key=lambda one: one.id)]


def _payload(deployment: Deployment) -> dict[str, Any]:
    assert isinstance(deployment.payload, dict)
    return deployment.payload


@pytest.fixture
def site(tmp_path: Path, github: GitHub, hub_repository: HubRepository) -> Site:  # noqa: F811
    return Site(tmp_path, github, hub_repository)


# --- what is shown ----------------------------------------------------------------------------------


def test_a_rollout_is_one_deployment_that_names_commit_run_and_bytes(site: Site) -> None:
    declared = site.deploy(101)
    site.service.tell()
    (one,) = site.repository.deployments
    assert (one.commit, one.ref, one.environment, one.task) == (declared.commit, declared.commit, "shop/prod", TASK)
    key = f"shop/prod/{declared.commit}/101"
    assert one.payload == {"key": key, "run_id": 101, "sha256": declared.sha256}
    assert (one.description, one.transient, one.production) == (
        f"run 101, sha256 {str(declared.sha256)[:12]}",
        False,
        False,
    )
    assert _said(one) == [(LIVE, "run 101 is live")]


def test_every_state_is_told_on_the_same_deployment(site: Site) -> None:
    site.deploy(101)
    site.service.tell()
    declared = site.declare(102)
    site.refuse(declared)
    site.service.tell()
    attempt = site.begin(declared)
    site.service.tell()
    site.end(attempt, Outcome.FAILED)
    site.service.tell()
    again = site.begin(declared)
    site.service.tell()
    site.end(again)
    site.service.tell()
    assert site.told() == [(101, [LIVE, GONE]), (102, [QUEUED, ON_ITS_WAY, "failure", ON_ITS_WAY, LIVE])]
    assert [told for _, told in _said(site.repository.deployments[1])] == [
        "held: Soaking: not yet",
        "run 102 is being deployed",
        "failed: TargetUnavailable: no space left",
        "run 102 is being deployed",
        "run 102 is live",
    ]


def test_what_replaces_is_shown_before_what_gives_way(site: Site) -> None:
    site.deploy(101)
    site.service.tell()
    site.deploy(102)
    site.service.tell()
    before, after = site.repository.deployments
    (live,) = after.statuses
    assert live.id < max(status.id for status in before.statuses)


def test_github_is_asked_to_merge_nothing_and_to_wait_for_nothing(site: Site) -> None:
    declared = site.deploy(101)
    assert declared.commit
    site.api().post(f"/repos/acme/deploy/statuses/{declared.commit}", {"state": "failure", "context": "lint"})
    site.service.tell()
    assert site.told() == [(101, [LIVE])]
    (made,) = [call for call in site.github.hub.log if call.path.endswith("/deployments") and call.method == "POST"]
    body = json.loads(made.body)
    assert (body["auto_merge"], body["required_contexts"], "production_environment" in body) == (False, [], False)


def test_a_rollback_is_a_deployment_of_its_own(site: Site) -> None:
    site.deploy(101)
    site.service.tell()
    site.deploy(102)
    site.service.tell()
    declared = site.declare(101)
    attempt = site.begin(declared, action=Action.ROLLBACK)
    site.service.tell()
    assert _said(site.repository.deployments[-1]) == [(ON_ITS_WAY, "going back to run 101")]
    site.end(attempt)
    site.service.tell()
    assert site.told() == [(101, [LIVE, GONE]), (102, [LIVE, GONE]), (101, [ON_ITS_WAY, LIVE])]


def test_what_waits_and_is_superseded_ends_inactive(site: Site) -> None:
    site.deploy(101)
    site.refuse(site.declare(102))
    site.service.tell()
    site.refuse(site.declare(103), Reason.APPROVAL_MISSING, Gate.APPROVAL)
    site.service.tell()
    assert site.told() == [(101, [LIVE]), (102, [QUEUED, GONE])]


def test_environments_are_told_apart(site: Site) -> None:
    site.deploy(101, STAGING)
    site.deploy(100, PROD)
    site.service.tell()
    site.deploy(102, STAGING)
    site.service.tell()
    assert (site.told(STAGING), site.told(PROD)) == ([(101, [LIVE, GONE]), (102, [LIVE])], [(100, [LIVE])])


def test_links_name_the_environment(site: Site) -> None:
    deployments = GitHubDeployments(
        site.api(), "https://{environment}.example.com/", "https://ops.example.com/{environment}"
    )
    deployments.show(_rollout(site.declare(101), RolloutState.SUCCESS))
    (status,) = site.repository.deployments[0].statuses
    assert (status.environment_url, status.log_url) == (
        "https://shop/prod.example.com/",
        "https://ops.example.com/shop/prod",
    )


def test_what_github_does_not_take_in_a_description_is_left_out(site: Site) -> None:
    rollout = replace(_rollout(site.declare(101), RolloutState.FAILURE), told="failed: \U0001f4a5 é → ")
    GitHubDeployments(site.api()).show(rollout)
    assert _said(site.repository.deployments[0]) == [("failure", "failed: ? é →")]


# --- what it costs ----------------------------------------------------------------------------------


def test_when_nothing_happened_neither_github_nor_any_environment_is_asked(site: Site) -> None:
    site.deploy(101)
    site.deploy(100, STAGING)
    site.service.tell()
    site.github.hub.forget()
    wire = Tripwire()
    site.service._store = wire.around(site.store)
    for _ in range(10):
        site.service.tell()
    assert site.github.hub.requests == 0
    assert wire.calls == ["attempts", "transitions"] * 10


def test_a_restart_asks_github_nothing_when_all_was_told(site: Site) -> None:
    site.deploy(101)
    site.deploy(102)
    site.service.tell()
    site.github.hub.forget()
    site.restarted().tell()
    assert site.github.hub.requests == 0


def test_the_first_word_costs_three_requests_and_each_later_one_a_single_one(site: Site) -> None:
    attempt = site.begin(site.declare(101))
    site.github.hub.forget()
    site.service.tell()
    assert [call.method for call in site.github.hub.log] == ["GET", "POST", "POST"]
    asked = site.github.hub.log[0].path
    assert f"sha={attempt.declared.commit}" in asked
    assert "environment=shop%2Fprod" in asked
    site.end(attempt)
    site.service.tell()
    assert [call.method for call in site.github.hub.log] == ["GET", "POST", "POST", "POST"]


def test_while_something_is_on_its_way_it_is_watched_for_free(site: Site) -> None:
    site.begin(site.declare(101))
    site.service.tell()
    site.github.hub.forget()
    site.service.tell()
    assert site.github.hub.requests == 0


def test_an_end_is_seen_that_left_no_trace_but_its_own(site: Site) -> None:
    """The same failure twice: no new attempt, and no change of state, between the two looks."""
    declared = site.declare(101)
    site.end(site.begin(declared), Outcome.FAILED)
    attempt = site.begin(declared)
    site.service.tell()
    site.end(attempt, Outcome.FAILED)
    site.service.tell()
    assert site.told() == [(101, [ON_ITS_WAY, "failure"])]


# --- history ----------------------------------------------------------------------------------------


def test_history_is_not_replayed_at_the_first_start(site: Site) -> None:
    for run in (101, 102, 103):
        site.deploy(run)
    site.refuse(site.declare(104))
    site.service.tell()
    assert site.told() == [(103, [LIVE]), (104, [QUEUED])]


def test_the_first_start_with_nothing_live_begins_with_the_newest(site: Site) -> None:
    site.end(site.begin(site.declare(101)), Outcome.FAILED)
    site.end(site.begin(site.declare(102)), Outcome.FAILED)
    site.service.tell()
    assert site.told() == [(102, ["failure"])]


def test_what_is_live_for_longer_than_is_looked_back_stays_and_is_ended_in_the_end(site: Site) -> None:
    site.deploy(101)
    site.service.tell()
    declared = site.declare(102)
    for number in range(REMEMBERED + 5):
        site.refuse(declared, (Reason.SOAKING, Reason.UPSTREAM_UNHEALTHY)[number % 2])
    site.service.tell()
    assert [(run, states[-1]) for run, states in site.told()] == [(101, LIVE), (102, QUEUED)]
    site.end(site.begin(declared))
    site.service.tell()
    assert [(run, states[-1]) for run, states in site.told()] == [(101, GONE), (102, LIVE)]
    assert list(site.store.told_rollouts()) == [f"shop/prod/{declared.commit}/102"]


def test_what_ended_long_ago_is_forgotten_and_stays_as_it_was_shown(site: Site) -> None:
    site.end(site.begin(site.declare(101)), Outcome.FAILED)
    site.service.tell()
    for run in range(102, 104):
        site.deploy(run)
        site.service.tell()
    assert len(site.store.told_rollouts()) == 3
    declared = site.declare(104)
    for _ in range(REMEMBERED):
        site.refuse(declared, Reason.APPROVAL_MISSING, Gate.APPROVAL)
    site.service.tell()
    assert [key[-3:] for key in site.store.told_rollouts()] == ["103"]
    assert site.told() == [(101, ["failure"]), (102, [LIVE, GONE]), (103, [LIVE])]


def test_a_fleet_is_told_in_portions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "AT_ONCE", 3)
    declared = site.declare(101)
    names = [EnvironmentName(f"shop/e{number}") for number in range(5)]
    for name in names:
        site.live[name] = None
        site.end(site.begin(declared, name))
    site.service.tell()
    assert len(site.repository.deployments) == 3
    site.service.tell()
    assert sorted(one.environment for one in site.repository.deployments) == sorted(names)


def test_a_flood_of_attempts_makes_it_look_at_all_environments(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEARCHED", 20)
    site.deploy(101, STAGING)
    site.service.tell()
    site.deploy(102, STAGING)
    declared = site.declare(103)
    attempt = Attempt(PROD, Action.DEPLOY, declared, None, NOON, gates=(LET_IN,), outcome=Outcome.REFUSED)
    for _ in range(20):
        site.store.refuse(attempt, site.held(declared, PROD, None))
    site.service.tell()
    assert (site.told(STAGING), site.told(PROD)) == ([(101, [LIVE, GONE]), (102, [LIVE])], [(103, [QUEUED])])


# --- GitHub is away ---------------------------------------------------------------------------------


def test_what_happened_while_github_was_down_is_shown_afterwards_once_and_in_order(site: Site) -> None:
    site.deploy(101)
    site.service.tell()
    site.github.hub.go_down()
    for run in (102, 103):
        declared = site.declare(run)
        site.refuse(declared)
        _fails(site.service)
        site.end(site.begin(declared))
        _fails(site.service)
    waiting = site.declare(104)
    site.refuse(waiting)
    _fails(site.service)
    site.github.hub.come_up()
    site.clock.ahead += timedelta(seconds=1)  # so long nobody looks whether it is back
    site.service.tell()
    site.service.tell()
    assert site.told() == [(101, [LIVE, GONE]), (102, [GONE]), (103, [LIVE]), (104, [QUEUED])]


def _fails(service: Rollouts) -> None:
    with pytest.raises(Transient) as raised:
        service.tell()
    assert raised.value.reason is Reason.FORGE_UNAVAILABLE


def test_one_environment_that_can_not_be_shown_stops_no_other(site: Site) -> None:
    ghost = Declared(CommitId("f" * 40), RunId(1), Digest("1" * 64))
    site.end(site.begin(ghost, STAGING))
    site.deploy(101, PROD)
    for _ in range(2):
        with pytest.raises(PolicyDenied, match=r"run 1 of staging can't be shown as a deployment.*No ref found"):
            site.service.tell()
    assert site.told(PROD) == [(101, [LIVE])]
    site.deploy(102, STAGING)
    with pytest.raises(PolicyDenied):
        site.service.tell()
    assert site.told(STAGING) == [(102, [LIVE])], "nor does a rollout stop the next one of its environment"


def test_a_github_out_of_reach_costs_a_few_requests_and_whoever_failed_comes_last(site: Site) -> None:
    declared = site.declare(101)
    names = [EnvironmentName(f"shop/e{number}") for number in range(PATIENCE + 2)]
    for name in names:
        site.live[name] = None
        site.end(site.begin(declared, name))
    site.github.hub.forget()
    for _ in range(2):
        for name in names[:PATIENCE]:
            site.github.hub.fail(500, path=name.replace("/", "%2F"))
        _fails(site.service)
    assert site.github.hub.requests == PATIENCE + 2 * 3 + PATIENCE
    assert sorted(one.environment for one in site.repository.deployments) == names[PATIENCE:]
    site.service.tell()
    assert len(site.repository.deployments) == len(names)


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_permission_is_named(site: Site, status: int) -> None:
    site.deploy(101)
    wanted = {"X-Accepted-GitHub-Permissions": "deployments=write"}
    site.github.hub.fail(status, 2, method="POST", headers=wanted)
    with pytest.raises(Transient) as raised:
        site.service.tell()
    assert raised.value.hint
    assert status == 401 or "deployments=write" in raised.value.hint


def test_a_repository_that_github_does_not_show_is_named_with_the_permission(site: Site) -> None:
    site.deploy(101)
    site.github.hub.fail(404)
    with pytest.raises(Transient, match="acme/deploy") as raised:
        site.service.tell()
    assert "Deployments: read and write" in raised.value.hint


# --- whatever GitHub has already --------------------------------------------------------------------


def _rollout(declared: Declared, state: RolloutState, told: str = "said") -> Rollout:
    assert declared.commit
    assert declared.run_id
    assert declared.sha256
    return Rollout(PROD, declared.commit, declared.run_id, declared.sha256, state, told)


def _post(api: Api, rollout: Rollout, **changes: object) -> int:
    body = {"ref": rollout.commit, "task": TASK, "auto_merge": False, "required_contexts": []}
    body |= {"payload": {"key": rollout.key}, "environment": rollout.environment} | changes
    number = api.post("/repos/acme/deploy/deployments", body)["id"]
    assert isinstance(number, int)
    return number


def test_showing_the_same_again_makes_nothing(site: Site) -> None:
    rollout = _rollout(site.declare(101), RolloutState.SUCCESS)
    one, other = GitHubDeployments(site.api()), GitHubDeployments(site.api())
    for deployments in (one, one, other, other):
        deployments.show(rollout)
    assert site.told() == [(101, [LIVE])]


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "deploy"},
        {"payload": {}},
        {"payload": "[1]"},
        {"payload": "no json"},
        {"payload": {"key": "shop/prod/x/1"}},
        {"environment": "staging"},
    ],
    ids=["another task", "no key", "a list", "no JSON", "another key", "another environment"],
)
def test_a_deployment_of_somebody_else_is_not_ours(site: Site, changes: dict[str, object]) -> None:
    rollout = _rollout(site.declare(101), RolloutState.SUCCESS)
    _post(site.api(), rollout, **changes)
    GitHubDeployments(site.api()).show(rollout)
    theirs, ours = site.repository.deployments
    assert (theirs.statuses, _said(ours)) == ([], [(LIVE, "said")])


def test_a_payload_that_comes_back_as_text_is_read_all_the_same(site: Site) -> None:
    rollout = _rollout(site.declare(101), RolloutState.SUCCESS)
    _post(site.api(), rollout, payload=f'{{"key": "{rollout.key}"}}')
    GitHubDeployments(site.api()).show(rollout)
    (one,) = site.repository.deployments
    assert one.state == LIVE


def test_of_two_deployments_of_one_rollout_the_older_counts_and_the_other_ends_once(site: Site) -> None:
    rollout = _rollout(site.declare(101), RolloutState.SUCCESS)
    kept, _ = _post(site.api(), rollout), _post(site.api(), rollout)
    for _ in range(3):
        GitHubDeployments(site.api()).show(rollout)
    assert [_said(one) for one in site.repository.deployments] == [
        [(LIVE, "said")],
        [(GONE, f"the same as deployment {kept}, which counts")],
    ]


def test_the_newest_status_counts_however_they_are_listed(site: Site) -> None:
    rollout = _rollout(site.declare(101), RolloutState.SUCCESS)
    GitHubDeployments(site.api()).show(replace(rollout, state=RolloutState.QUEUED))
    GitHubDeployments(site.api()).show(rollout)
    site.repository.deployments[0].statuses.reverse()
    GitHubDeployments(site.api()).show(rollout)
    assert len(site.repository.deployments[0].statuses) == 2


def test_a_deployment_that_somebody_deleted_is_made_again(site: Site) -> None:
    deployments = GitHubDeployments(site.api())
    rollout = _rollout(site.declare(101), RolloutState.IN_PROGRESS)
    deployments.show(rollout)
    site.repository.deployments.clear()
    deployments.show(replace(rollout, state=RolloutState.SUCCESS))
    assert site.told() == [(101, [LIVE])]


def test_an_answer_that_was_lost_is_not_believed_to_have_failed(site: Site) -> None:
    """GitHub took the status, and the line was cut: looked at anew, it is there already."""
    api = site.api()
    deployments = GitHubDeployments(api)
    rollout = _rollout(site.declare(101), RolloutState.IN_PROGRESS)
    deployments.show(rollout)
    wire = Tripwire({"post"}, at=1, behind=True)
    deployments._api = wire.around(api)
    with pytest.raises(Transient):
        deployments.show(replace(rollout, state=RolloutState.SUCCESS))
    deployments.show(replace(rollout, state=RolloutState.SUCCESS))
    assert site.told() == [(101, [ON_ITS_WAY, LIVE])]


# --- cut off ----------------------------------------------------------------------------------------


@dataclass
class Tripwire:
    """Ends one call of many, before or behind its effect; counts all."""

    names: frozenset[str] | set[str] = frozenset()
    at: int = 0
    behind: bool = False

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self._counted = 0

    @property
    def tripped(self) -> bool:
        return 0 < self.at <= self._counted

    def around(self, real: object) -> Any:
        wire = self

        class Wired:
            def __getattr__(self, name: str) -> Any:
                found = getattr(real, name)
                return wire.wrap(name, found) if callable(found) else found

        return Wired()

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wired(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self._counted += name in self.names
            cut = name in self.names and self._counted == self.at
            if cut and not self.behind:
                raise unavailable("cut off before")
            result = call(*args, **kwargs)
            if cut:
                raise unavailable("cut off behind")
            return result

        return wired


EFFECTS = {"save_told_rollout", "post"}


def _story(site: Site, declared: Sequence[Declared]) -> Iterator[None]:
    """A release, its successor that waits and then goes, a failure, and a way back; yields wherever it is told."""
    first, second, third, back = declared
    attempt = site.begin(first)
    yield
    site.end(attempt)
    yield
    site.refuse(second)
    yield
    site.end(site.begin(second))
    yield
    site.end(site.begin(third), Outcome.FAILED)
    yield
    site.end(site.begin(back, action=Action.ROLLBACK))
    yield


def _played(site: Site, declared: Sequence[Declared], wire: Tripwire) -> tuple[object, object]:
    """The story from the beginning; cut off, a fresh process goes on, to which the wire does nothing more.

    Returns what is shown, and what is remembered of it.
    """
    site.lose_store()
    site.live.clear()
    site.repository.deployments.clear()
    site.service = Rollouts(wire.around(site.store), GitHubDeployments(wire.around(site.api())))
    for _ in _story(site, declared):
        try:
            site.service.tell()
        except ReconcilerError:
            site.restarted().tell()
    shown = [(one.payload, one.environment, _said(one)) for one in site.repository.deployments]
    return shown, site.store.told_rollouts()


def test_cut_off_before_any_effect_the_same_is_shown_in_the_end(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    """Cut off behind one is cut off before the next: what a process knew goes with it."""
    declared = [site.declare(run) for run in (101, 102, 103, 101)]
    whole = _played(site, declared, Tripwire())
    assert site.told() == [
        (101, [ON_ITS_WAY, LIVE, GONE]),
        (102, [QUEUED, LIVE, GONE]),
        (103, ["failure"]),
        (101, [LIVE]),
    ]
    for step in count(1):
        wire = Tripwire(EFFECTS, step)
        played = _played(site, declared, wire)
        if not wire.tripped:
            break
        assert played == whole, f"cut off at effect {step}"
    assert step > 20
    record_property("steps", step - 1)


@pytest.mark.parametrize("step", range(1, 6))
def test_cut_off_and_the_store_lost_there_is_one_record_with_one_end(site: Site, step: int) -> None:
    """Intent marked, deployment made, status told, remembered: then the switch came about, and nobody remembers it."""
    declared = site.declare(101)
    site.begin(declared)
    wire = Tripwire(EFFECTS, step)
    site.service = Rollouts(wire.around(site.store), GitHubDeployments(wire.around(site.api())))
    with suppress(Transient):
        site.service.tell()
    assert wire.tripped == (step < 5)
    site.live[PROD] = release(101)
    site.lose_store()
    site.store.save(site.synced(declared), NOON)
    site.restarted().tell()
    site.restarted().tell()
    ((run, states),) = site.told()
    assert (run, states[-1], states.count(LIVE)) == (101, LIVE, 1)


def test_what_was_live_before_the_store_was_lost_gives_way_like_any_other(site: Site) -> None:
    declared = site.deploy(101)
    site.service.tell()
    site.lose_store()
    site.store.save(site.synced(declared), NOON)
    site.restarted().tell()
    site.refuse(site.declare(102))
    site.service.tell()
    site.deploy(103)
    site.service.tell()
    assert site.told() == [(101, [LIVE, GONE]), (102, [QUEUED, GONE]), (103, [LIVE])]


def test_a_store_that_was_replaced_while_running_is_looked_at_anew(site: Site) -> None:
    site.deploy(101)
    site.deploy(102)
    site.service.tell()
    site.lose_store()
    site.service._store = site.store
    site.deploy(103)
    site.service.tell()
    assert site.told() == [(102, [LIVE]), (103, [LIVE])]
