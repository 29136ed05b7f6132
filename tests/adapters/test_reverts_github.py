"""Declaring what runs after an automatic rollback: real git, a store, and GitHub as its own description has it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler.bounds import Bounds
from reconciler.chores import reverts
from reconciler.chores.reverts import AT_ONCE, Reverts
from reconciler.chores.turns import PATIENCE
from reconciler.errors import Reason, ReconcilerError, Transient
from reconciler.forges.github import create as github_forge
from reconciler.forges.signed_merge import create as signed_merge_forge
from reconciler.git import Mirror
from reconciler.git.branches import Branches
from reconciler.machine.clock import SystemClock
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Health,
    OperatorHand,
    Outcome,
    Release,
    RunId,
    Status,
    Sync,
)
from reconciler.ports import Forge, Parts
from reconciler.stores.sql import SqlStore
from tests.factories import NOON
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401
from tests.github.repository import HubRepository
from tests.github.state import Pull

PROD, STAGING = EnvironmentName("shop/prod"), EnvironmentName("staging")
TOKEN = "GITHUB_TOKEN_OF_REVERTS"
CONFIG = "config: {COLOUR: blue}  # as it was, with comments\r\n"


def digest(run: int) -> Digest:
    return Digest(f"{run:064x}")


def text(run: int, config: str = "") -> str:
    return f"run_id: {run}\n{config}"


def file_of(environment: EnvironmentName) -> str:
    return f"environments/{environment}.yaml"


class Cut(BaseException):
    """The process ends here."""


class Plug:
    """Ends the process at one of the calls that leave something at the remote or at the forge."""

    def __init__(self, at: str = "", behind: bool = False) -> None:
        self.at, self.behind, self.calls = at, behind, list[str]()

    def around(self, real: object) -> Any:
        plug = self

        class Plugged:
            def __getattr__(self, name: str) -> Any:
                found = getattr(real, name)
                return plug.wrap(name, found) if callable(found) else found

        return Plugged()

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wired(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name == self.at and not self.behind:
                raise Cut
            result = call(*args, **kwargs)
            if name == self.at:
                raise Cut
            return result

        return wired


class Site:
    """A repository at GitHub, and a daemon whose passes left behind in its store what they leave."""

    def __init__(self, folder: Path, github: GitHub, repository: HubRepository) -> None:  # noqa: F811
        self.folder, self.github, self.repository = folder, github, repository
        self.engineer = repository.person("engineer")
        self.clock = SystemClock()
        self._stores = count()
        self.store = self._opened()
        self.kind = "github"
        self.said: list[str] = []
        self.good: dict[EnvironmentName, Accepted] = {}
        self.restarted()

    def _opened(self) -> SqlStore:
        path, empty = self.folder / f"state-{next(self._stores)}.db", self.folder / "empty.db"
        if not empty.exists():
            store = _store(empty)
            store.statuses()
            store.close()
        shutil.copy(empty, path)
        return _store(path)

    def restarted(self, plug: Plug | None = None) -> None:
        """A process that knows nothing but the store."""
        self.plug, state = plug or Plug(), self.folder / "state"
        self.mirror = Mirror(self.repository.git_url, "main", "environments", state / "git", Bounds(), _silent)
        branches = Branches(self.repository.git_url, "main", state / "git", state / "reverts", Bounds(), _silent)
        forge = self.plug.around(self._forge(state))
        around = self.plug.around(branches)
        self.service = Reverts(
            self.plug.around(self.store), self.plug.around(self.mirror), forge, around, "main", self.clock, self._say
        )

    def _say(self, environment: EnvironmentName, message: str) -> None:
        self.said.append(f"{environment}: {message}")

    def _forge(self, state: Path) -> Forge:
        parts = Parts(self.clock, Random(0), _silent, Bounds(), state, self.mirror, "main")
        if self.kind == "signed_merge":
            signers = self.folder / "signers"
            signers.touch(mode=0o600)
            return signed_merge_forge({"allowed_signers": str(signers)}, parts)
        return github_forge({"repository": self.repository.name, "url": self.github.url, "token_env": TOKEN}, parts)

    def lose_store(self) -> None:
        """Passes find out again what there is; attempts are forgotten."""
        statuses = self.store.statuses()
        self.store = self._opened()
        self.follow()
        for name, status in statuses.items():
            self.store.save(status, NOON, self.good.get(name))
        self.restarted()

    # --- what happens -----------------------------------------------------------------------------

    def push(self, files: dict[str, str | None], message: str = "Change") -> CommitId:
        commit = self.repository.push(self.engineer, "main", files, message)
        self.follow()
        return commit

    def follow(self) -> None:
        """What a poll does."""
        tip = self.mirror.head()
        assert tip is not None
        self.mirror.fetch(tip)
        self.store.save_tip(tip)

    def works(self, run: int, environment: EnvironmentName = PROD, config: str = CONFIG) -> None:
        """A declaration that is let in and comes to life."""
        data = text(run, config)
        commit = self.push({file_of(environment): data})
        sha256 = Digest(hashlib.sha256(data.encode()).hexdigest())
        self.good[environment] = Accepted(
            environment, commit, sha256, RunId(run), digest(run), "#11", ("carol(7)",), NOON
        )
        self.synced(run, environment, commit)

    def synced(self, run: int, environment: EnvironmentName = PROD, commit: CommitId | None = None) -> None:
        declared = Declared(commit or self.good[environment].commit, RunId(run), digest(run))
        live = Release(f"{run}-x", RunId(run), digest(run))
        status = Status(environment, Sync.SYNCED, Health.HEALTHY, None, "", "", declared, live, NOON, ())
        self.store.save(status, NOON, self.good[environment])

    def declared(self, run: int, environment: EnvironmentName = PROD, note: str = "") -> Declared:
        return Declared(self.push({file_of(environment): text(run, note)}), RunId(run), digest(run))

    def fails(self, declared: Declared, environment: EnvironmentName = PROD, message: str = "answered 503") -> None:
        """It is tried, does not come to life, and what worked before is back."""
        self.end(self.begin(declared, environment), message)

    def begin(self, declared: Declared, environment: EnvironmentName = PROD) -> Attempt:
        before = self.store.statuses()[environment].live
        return self.store.begin(Attempt(environment, Action.DEPLOY, declared, before, NOON, request="#12"))

    def end(self, attempt: Attempt, message: str = "answered 503") -> None:
        reason = Reason.HEALTH_CHECK_FAILED
        done = replace(attempt, outcome=Outcome.FAILED, finished=NOON, reason=reason, message=message)
        before = self.store.statuses()[attempt.environment]
        status = replace(
            before, sync=Sync.HELD, health=Health.DEGRADED, reason=reason, message=message, declared=attempt.declared
        )
        self.store.finish(done, status, self.good[attempt.environment])

    def broken(self, *environments: EnvironmentName) -> None:
        """Run 101 worked everywhere, and run 102 nowhere."""
        for environment in environments or (PROD,):
            self.works(101, environment)
            self.fails(self.declared(102, environment), environment)

    def suspend(self, suspended: bool) -> None:
        hand = OperatorHand(suspended=suspended, reason="looking into it", by="ops")
        self.store.save_hand(PROD, hand, "suspend" if suspended else "resume", NOON)

    def tell(self) -> None:
        """One look; what somebody pushed with git is known to GitHub."""
        self.service.tell()

    def survive(self) -> None:
        """One look, cut off or not; then a process that was started anew looks."""
        with suppress(Cut):
            self.tell()
        self.restarted()
        self.tell()

    # --- what there is ----------------------------------------------------------------------------

    @property
    def branches(self) -> list[str]:
        return self.repository.bare.lines("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/reconciler")

    @property
    def pull(self) -> Pull:
        (pull,) = self.repository.pulls
        return pull

    def calls(self) -> list[str]:
        return [f"{call.method} {call.path.partition('?')[0]}" for call in self.repository.hub.log]


def _store(path: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{path}", SystemClock(), _silent)


def _silent(step: str) -> None:
    """Nobody listens."""


def named(declared: Declared, environment: EnvironmentName = PROD) -> str:
    return f"reconciler/revert/{environment}-{declared.run_id}-{str(declared.commit)[:12]}"


@pytest.fixture
def site(
    tmp_path: Path,
    github: GitHub,  # noqa: F811
    hub_repository: HubRepository,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.setenv(TOKEN, github.token)
    return Site(tmp_path, github, hub_repository)


# --- what is proposed -------------------------------------------------------------------------------


def test_the_whole_file_is_put_back_as_it_was_let_in_and_nothing_else(site: Site) -> None:
    site.works(101)
    site.works(7, STAGING)
    declared = site.declared(102)
    site.push({"environments/policy.yaml": "version: 1\n", "README.md": "later"})
    site.fails(declared)
    tip = site.repository.tip()
    site.tell()
    branch = named(declared)
    assert site.branches == [branch]
    made = site.repository.tip(branch)
    assert site.repository.parents(made) == [tip] == [site.repository.tip()]
    assert site.repository.git("diff", "--name-only", tip, made) == file_of(PROD)
    assert (
        site.repository.bare.world.run(
            "git", "cat-file", "blob", f"{made}:{file_of(PROD)}", cwd=site.repository.bare.folder
        )
        == text(101, CONFIG).encode()
    )


def test_one_request_says_what_failed_and_what_a_merge_does(site: Site) -> None:
    site.works(101)
    declared = site.declared(102)
    site.fails(declared, message="refused the connection 6 times in 60 s")
    site.tell()
    pull = site.pull
    assert (pull.head, pull.base, pull.state) == (named(declared), "main", "open")
    assert pull.title == "Revert shop/prod to run 101, which is live"
    assert "Said: refused the connection 6 times in 60 s" in pull.body
    assert f"Declared by: commit {declared.commit}, #12" in pull.body
    assert f"Let in by: commit {site.good[PROD].commit}, #11, approved by carol(7)" in pull.body
    (said,) = site.said
    assert said.startswith("shop/prod: run 102 failed (HealthCheckFailed) and run 101 is live")
    assert f"/pull/{pull.number} (branch {named(declared)})" in said


def test_it_takes_two_requests_and_afterwards_none(site: Site) -> None:
    site.broken()
    site.repository.hub.forget()
    for _ in range(3):
        site.tell()
    assert site.calls() == ["GET /repos/acme/deploy/pulls", "POST /repos/acme/deploy/pulls"]


def test_the_same_failure_once_more_asks_nobody_again(site: Site) -> None:
    site.broken()
    site.tell()
    site.fails(site.store.statuses()[PROD].declared)
    site.repository.hub.forget()
    site.tell()
    assert site.calls() == []


def test_while_nothing_happens_the_store_is_asked_for_two_rows_and_nobody_else_anything(site: Site) -> None:
    site.broken()
    site.tell()
    site.plug.calls.clear()
    site.repository.hub.forget()
    site.tell()
    assert (site.plug.calls, site.calls()) == (["attempts", "transitions"], [])


def test_what_goes_well_elsewhere_reads_no_status(site: Site) -> None:
    site.broken()
    site.tell()
    site.works(7, STAGING)
    site.plug.calls.clear()
    site.tell()
    assert "statuses" not in site.plug.calls


def test_two_environments_get_one_request_each(site: Site) -> None:
    site.broken(PROD, STAGING)
    site.tell()
    assert len(site.repository.pulls) == len(site.branches) == 2


def test_a_merge_declares_what_runs_to_the_byte(site: Site) -> None:
    site.broken()
    site.tell()
    site.repository.merge(site.pull, site.engineer, "squash")
    tip = site.repository.tip()
    found = site.repository.bare.resolve(f"{tip}")
    assert site.repository.git("rev-parse", f"{found}:{file_of(PROD)}") == site.repository.git(
        "rev-parse", f"{site.good[PROD].commit}:{file_of(PROD)}"
    )


# --- once, whatever happens -------------------------------------------------------------------------

_EFFECTS = ("proposed", "references", "head", "push", "propose")


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", _EFFECTS)
@pytest.mark.parametrize("lost", [False, True], ids=["with the store", "store lost"])
def test_cut_off_anywhere_there_is_one_branch_and_one_request(site: Site, step: str, behind: bool, lost: bool) -> None:
    site.broken()
    site.restarted(Plug(step, behind))
    with pytest.raises(Cut):
        site.tell()
    if lost:
        site.lose_store()
    made = site.branches
    site.restarted()
    site.push({"README.md": "the tip moves on"})
    site.tell()
    site.restarted()
    site.tell()
    assert (len(site.branches), len(site.repository.pulls)) == (1, 1)
    assert made in ([], site.branches)
    assert site.repository.git("rev-list", "--count", f"main..{site.branches[0]}") == "1"


@pytest.mark.parametrize("gone", [False, True], ids=["branch kept", "branch deleted"])
@pytest.mark.parametrize("lost", [False, True], ids=["with the store", "store lost"])
def test_what_people_closed_is_not_opened_again(site: Site, gone: bool, lost: bool) -> None:
    site.broken()
    site.tell()
    site.repository.close(site.pull, site.engineer)
    if gone:
        site.repository.delete_branch(site.engineer, site.pull.head)
    if lost:
        site.lose_store()
    site.fails(site.store.statuses()[PROD].declared)  # somebody said retry, and it fails again
    site.tell()
    site.restarted()
    site.tell()
    assert site.pull.state == "closed"
    assert site.branches == ([] if gone else [site.pull.head])


def test_a_request_that_people_edit_stays_as_they_want_it(site: Site) -> None:
    site.broken()
    site.tell()
    site.pull.title, site.pull.body = "Theirs", "Why we wait"
    site.restarted()
    site.tell()
    assert (site.pull.title, site.pull.body) == ("Theirs", "Why we wait")


def test_the_same_run_declared_again_and_failed_again_gets_its_own(site: Site) -> None:
    site.broken()
    site.tell()
    site.repository.close(site.pull, site.engineer)
    site.fails(site.declared(102, note="# again\n"))
    site.tell()
    assert [pull.state for pull in site.repository.pulls] == ["closed", "open"]


def test_another_failure_that_leaves_the_state_as_it_was_is_noticed(site: Site) -> None:
    site.broken()
    site.tell()
    transitions = len(site.store.transitions())
    site.fails(site.declared(103))
    assert len(site.store.transitions()) == transitions
    site.tell()
    assert len(site.repository.pulls) == 2


def test_a_failure_that_was_long_under_way_is_noticed_at_its_end(site: Site) -> None:
    site.broken()
    site.tell()
    attempt = site.begin(site.declared(103))
    for _ in range(2):
        site.tell()
    transitions = len(site.store.transitions())
    site.end(attempt)
    assert len(site.store.transitions()) == transitions
    site.tell()
    assert [pull.head for pull in site.repository.pulls][1:] == [named(attempt.declared)]


# --- when not ---------------------------------------------------------------------------------------


def test_nothing_is_proposed_once_something_else_is_declared(site: Site) -> None:
    site.broken()
    site.push({file_of(PROD): text(103)})
    site.tell()
    assert site.branches == []
    site.push({file_of(PROD): text(102)})
    site.tell()
    assert len(site.repository.pulls) == 1


def test_nothing_is_proposed_while_the_tip_is_newer_than_what_was_looked_at(site: Site) -> None:
    site.broken()
    site.repository.push(site.engineer, "main", {file_of(PROD): text(103)}, "Fixed forward just now")
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])


def test_nothing_is_proposed_while_it_is_tried_once_more(site: Site) -> None:
    site.broken()
    attempt = site.begin(site.store.statuses()[PROD].declared)
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])
    site.end(attempt)
    site.tell()
    assert len(site.repository.pulls) == 1


def test_nothing_is_proposed_while_it_is_suspended_and_then_it_is(site: Site) -> None:
    site.broken()
    site.suspend(True)
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])
    site.plug.calls.clear()
    site.tell()
    assert "statuses" not in site.plug.calls
    site.suspend(False)
    site.tell()
    assert len(site.repository.pulls) == 1


def test_nothing_is_proposed_for_what_is_healthy(site: Site) -> None:
    site.works(101)
    site.tell()
    assert (site.branches, site.repository.pulls, site.said) == ([], [], [])


def test_what_recovered_meanwhile_gets_nothing(site: Site) -> None:
    site.broken()
    site.synced(101)
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])


def test_bytes_that_are_not_those_that_were_let_in_are_never_proposed(site: Site) -> None:
    site.broken()
    status = site.store.statuses()[PROD]
    site.store.save(replace(status, message="still"), NOON, replace(site.good[PROD], declaration=Digest("e" * 64)))
    site.tell()
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])
    (said,) = site.said
    assert "holds other bytes than those that were let in; declare what should run by hand" in said


def test_what_is_not_in_the_history_any_more_is_never_proposed(site: Site) -> None:
    site.broken()
    status = site.store.statuses()[PROD]
    site.store.save(replace(status, message="still"), NOON, replace(site.good[PROD], commit=CommitId("e" * 40)))
    site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])
    assert "is not in the history of main any more" in site.said[0]


# --- whose the branch is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs",
    [
        {file_of(PROD): text(100)},
        {file_of(PROD): text(101, CONFIG), "environments/policy.yaml": "version: 1\n"},
        {file_of(PROD): text(101, CONFIG), ".github/workflows/build.yml": "on: push\n"},
    ],
    ids=["other content", "the policy, too", "a file outside the declarations, too"],
)
def test_a_branch_of_that_name_with_anything_else_is_left_alone_and_told_once(
    site: Site, theirs: dict[str, str | None]
) -> None:
    site.works(101)
    declared = site.declared(102)
    commit = site.repository.push(site.engineer, named(declared), theirs, "Mine")
    site.fails(declared)
    site.tell()
    site.tell()
    assert (site.repository.tip(named(declared)), site.repository.pulls) == (commit, [])
    (said,) = site.said
    assert f"the branch {named(declared)} holds something else than this daemon would push" in said


def test_a_second_commit_on_our_branch_makes_it_somebodys(site: Site) -> None:
    site.broken()
    site.restarted(Plug("push", behind=True))
    with pytest.raises(Cut):
        site.tell()
    (branch,) = site.branches
    commit = site.repository.push(site.engineer, branch, {"more": "of it"}, "More")
    site.restarted()
    site.tell()
    assert (site.repository.tip(branch), site.repository.pulls) == (commit, [])


def test_our_edit_on_top_of_somebodys_commit_is_theirs(site: Site) -> None:
    site.works(101)
    declared = site.declared(102)
    site.repository.push(site.engineer, named(declared), {"tools/x.sh": "x"}, "Mine")
    commit = site.repository.push(site.engineer, named(declared), {file_of(PROD): text(101, CONFIG)}, "And back")
    site.fails(declared)
    site.tell()
    assert (site.repository.tip(named(declared)), site.repository.pulls) == (commit, [])


def test_a_request_that_somebody_opened_for_the_branch_is_the_one(site: Site) -> None:
    site.works(101)
    declared = site.declared(102)
    site.repository.push(site.engineer, named(declared), {file_of(PROD): text(101, CONFIG)}, "By hand")
    mine = site.repository.open_pull(site.engineer, named(declared), title="By hand")
    site.fails(declared)
    site.tell()
    assert site.repository.pulls == [mine]
    assert mine.title == "By hand"


def test_a_fork_with_a_branch_of_that_name_says_nothing(site: Site) -> None:
    site.works(101)
    declared = site.declared(102)
    mallory = site.repository.person("mallory", "read")
    site.repository.close(site.repository.fork_pull(mallory, {"x": "y"}, "Mine", named(declared)), mallory)
    site.fails(declared)
    site.tell()
    assert [pull.title for pull in site.repository.pulls][1:] == ["Revert shop/prod to run 101, which is live"]


# --- faults and limits ------------------------------------------------------------------------------


def test_many_failures_are_proposed_a_few_in_each_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AT_ONCE == 20
    monkeypatch.setattr(reverts, "AT_ONCE", 2)
    site.broken(*(EnvironmentName(f"shop/e-{number}") for number in range(5)))
    found = []
    for _ in range(4):
        site.tell()
        found.append(len(site.repository.pulls))
    assert found == [2, 4, 5, 5]


def test_a_forge_that_is_down_costs_a_few_questions_and_is_asked_again(site: Site) -> None:
    site.broken(*(EnvironmentName(f"shop/e-{number}") for number in range(PATIENCE + 2)))
    site.repository.hub.go_down()
    with pytest.raises(Transient) as failed:
        site.tell()
    assert failed.value.reason is Reason.FORGE_UNAVAILABLE
    assert site.plug.calls.count("proposed") == PATIENCE
    assert site.branches == []
    site.repository.hub.come_up()
    site.restarted()
    site.tell()
    assert len(site.repository.pulls) == PATIENCE + 2


def test_whoever_fails_is_the_last_in_line_next_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reverts, "AT_ONCE", 1)
    site.broken(PROD, STAGING)
    site.repository.hub.fail(500, times=5, path="/pulls")
    with pytest.raises(Transient):
        site.tell()
    first = site.service._due
    assert list(first) == [STAGING, PROD]


def test_under_a_rate_limit_nothing_is_pushed(site: Site) -> None:
    site.broken()
    site.repository.hub.limit_secondary()
    for _ in range(2):
        with pytest.raises(ReconcilerError):
            site.tell()
    assert (site.branches, site.repository.pulls) == ([], [])
    assert len(site.calls()) == 1


def test_one_that_may_not_be_pushed_keeps_no_other_waiting(site: Site) -> None:
    site.broken(PROD, STAGING)
    hook = site.repository.bare.folder / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in *shop/prod*) echo "error: not this one" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    with pytest.raises(Transient, match=r"could not be pushed: .*not this one"):
        site.tell()
    assert [pull.title for pull in site.repository.pulls] == ["Revert staging to run 101, which is live"]
    hook.unlink()
    site.tell()
    assert len(site.repository.pulls) == 2


def test_a_store_that_was_replaced_while_running_is_looked_at_anew(site: Site) -> None:
    site.broken(PROD, STAGING)
    site.tell()
    service = site.service
    site.fails(site.declared(103))
    site.lose_store()
    service._store = site.store
    service.tell()
    assert len(site.repository.pulls) == 3


def test_where_there_are_no_requests_the_branch_is_all_and_is_named(site: Site) -> None:
    site.kind = "signed_merge"
    site.broken()
    site.restarted()
    site.tell()
    (branch,) = site.branches
    (said,) = site.said
    assert said.endswith(f"merging the branch {branch} declares what runs")
    made = site.repository.tip(branch)
    for _ in range(2):
        site.restarted()
        site.tell()
    assert site.repository.tip(branch) == made
    assert (site.repository.pulls, site.calls()) == ([], [])


def test_the_tracked_branch_is_as_it_was(site: Site) -> None:
    site.broken(PROD, STAGING)
    tip, moment = site.repository.tip(), datetime.now(NOON.tzinfo) - timedelta(hours=1)
    site.tell()
    assert site.repository.tip() == tip
    made = site.repository.git("show", "-s", "--format=%at", site.branches[0])
    assert int(made) > moment.timestamp()
