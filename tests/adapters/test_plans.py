"""Plans told on open pull requests, on the stateful GitHub: what is told when, and what is not told again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import wiring
from reconciler.chores import plans as module
from reconciler.chores.plans import Plans
from reconciler.errors import Reason, ReconcilerError
from reconciler.forges.github.pull_requests import CONTEXT
from reconciler.loop.runner import Runner
from reconciler.model import Digest, EnvironmentName
from reconciler.settings import load
from tests.adapters.githubs import Later
from tests.github.plugin import GitHub, github, referee  # noqa: F401
from tests.github.site import GitHubSite, file_of
from tests.github.state import Comment, Pull
from tests.site import eventually

STAGING, PROD = file_of("staging"), file_of("prod")


class Stage:
    """Run 1 is live in staging and prod; run 2 is there to be promoted."""

    def __init__(self, site: GitHubSite) -> None:
        self.site = site
        self.hub = site.hub
        self.deploy = site.deploy
        self.clock = Later()
        self.deploy.push(site.engineer, "main", {"README.md": "Declarations\n"}, "Begin")
        site.configure(new_environments="none")
        for run in (1, 2, 3):
            site.build(run)
        site.land({STAGING: site.declaration("staging", 1), PROD: site.declaration("prod", 1)})
        self.open()
        self.reconcile()
        self.hub.forget()

    def open(self) -> None:
        """A process begins."""
        settings = load(self.site.settings_file)
        self.store = wiring.open_store(settings)
        system = wiring.build(settings, self.store)
        self.system = replace(system, world=replace(system.world, clock=self.clock))
        self.runner = Runner(self.system.world, system.catalog, system.prober, "tests", lambda *_: None)
        found = self.system.plans()
        assert found is not None
        self.plans: Plans = found

    def restart(self, *, forget: bool = False) -> None:
        """Another process; `forget`: its memory was lost, too."""
        self.close()
        if forget:
            for file in (self.site.folder / "state").glob("*.db*"):
                file.unlink()
        self.open()
        self.look()

    def close(self) -> None:
        self.store.close()

    def look(self) -> None:
        self.system.tracker.look()

    def reconcile(self) -> None:
        """One look, and a pass for each environment."""
        self.look()
        for name in self.system.catalog.environments:
            self.runner.run(name)

    def tell(self) -> None:
        """What one poll does for plans."""
        self.look()
        self.plans.tell()

    def declaration(self, name: str, run: int, keep: int = 3, **fields: object) -> str:
        target = {"type": "directory", "path": str(self.site.live / name), "keep": keep}
        return self.site.declaration(name, run, target=target, **fields)

    def bump(self, name: str = "staging", run: int = 2, **fields: object) -> Pull:
        return self.site.pull({file_of(name): self.declaration(name, run, **fields)})  # type: ignore[arg-type]

    def push(self, pull: Pull, files: dict[str, str | None], message: str = "More") -> None:
        self.deploy.push(self.site.engineer, pull.head, files, message)

    def comments(self, pull: Pull) -> list[Comment]:
        return [one for one in self.deploy.comments(pull) if one.author == self.hub.operator]

    def said(self, pull: Pull) -> str:
        (comment,) = self.comments(pull)
        return comment.body

    def status(self, pull: Pull) -> tuple[str, str]:
        """Colour and line of the newest one on the head."""
        newest = next(one for one in self.deploy.statuses(pull.head_commit) if one.context == CONTEXT)
        return newest.state, newest.description or ""

    def writes(self) -> int:
        return sum(call.method != "GET" for call in self.hub.log)

    def holds(self, run: int) -> bool:
        return self.system.world.custody.holds(Digest(self.site.artifacts[run].sha256))


@pytest.fixture
def stage(tmp_path: Path, github: GitHub) -> Iterator[Stage]:  # noqa: F811
    made = Stage(GitHubSite(tmp_path, github))
    yield made
    made.close()


def test_an_open_request_is_told_what_its_merge_would_do(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    text = stage.said(pull)
    assert text.startswith(f"<!-- reconciler-plan head={pull.head_commit} digest=")
    assert pull.head_commit[:12] in text.partition("\n")[2]
    state, line = stage.status(pull)
    assert state == "success"
    assert re.fullmatch(r"staging: deploy, run 1 \(.{12}\) → 2 \(.{12}\); waits for approval", line)


def test_ten_pushes_leave_one_comment_of_the_last_head(stage: Stage) -> None:
    pull = stage.bump()
    for n in range(10):
        stage.push(pull, {STAGING: stage.declaration("staging", 2, keep=n + 4)})
        stage.tell()
        assert f"head={pull.head_commit}" in stage.said(pull)
        assert stage.status(pull)[0] == "success", stage.status(pull)


def test_idle_polls_ask_github_nothing(stage: Stage) -> None:
    stage.bump()
    stage.bump("prod", 1, keep=4)
    stage.tell()
    stage.hub.forget()
    for _ in range(10):
        stage.reconcile()
        stage.clock.ahead += timedelta(minutes=1)
        stage.tell()
    assert [call.path for call in stage.hub.log] == []


def test_what_was_told_is_not_told_again_by_another_process(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    before = stage.said(pull)
    stage.restart()
    stage.hub.forget()
    stage.tell()
    assert stage.writes() == 0
    assert stage.said(pull) == before


def test_with_the_memory_lost_the_comment_is_found_and_not_doubled(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    (first,) = stage.comments(pull)
    stage.restart(forget=True)
    stage.tell()
    (again,) = stage.comments(pull)
    assert again.id == first.id


def test_a_request_turns_red_with_the_reason_and_green_when_it_is_over(stage: Stage) -> None:
    run = stage.site.shop.run(7, status="in_progress", conclusion=None)
    stage.site.artifacts[7] = run.artifact("app", {"app.txt": "run 7\n"})
    pull = stage.bump(run=7)
    stage.tell()
    assert stage.status(pull)[0] == "failure"
    assert stage.status(pull)[1].startswith("staging: RunNotSuccessful: ")
    assert "RunNotSuccessful" in stage.said(pull)
    run.finish()
    stage.tell()
    assert stage.status(pull)[0] == "failure"  # not yet asked again
    stage.clock.ahead += timedelta(seconds=module.RETRY_SECONDS)
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)
    assert "RunNotSuccessful" not in stage.said(pull)


def test_a_webhook_s_word_makes_it_ask_at_once(stage: Stage) -> None:
    run = stage.site.shop.run(7, status="in_progress", conclusion=None)
    stage.site.artifacts[7] = run.artifact("app", {"app.txt": "run 7\n"})
    pull = stage.bump(run=7)
    stage.tell()
    run.finish()
    stage.plans.look_again()
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)


def test_what_waits_for_ci_is_asked_less_and_less_often(stage: Stage) -> None:
    run = stage.site.shop.run(7, status="in_progress", conclusion=None)
    stage.site.artifacts[7] = run.artifact("app", {"app.txt": "run 7\n"})
    stage.bump(run=7)
    stage.tell()
    asked = 0
    for _ in range(60):
        stage.hub.forget()
        stage.clock.ahead += timedelta(minutes=1)
        stage.tell()
        asked += bool(stage.hub.log)
        assert stage.writes() == 0
    assert 4 <= asked <= 8


def test_an_upstream_that_gets_there_turns_a_request_green(stage: Stage) -> None:
    pull = stage.bump("prod", 2, promote={"after": ["staging"]})
    stage.tell()
    assert stage.status(pull)[1].startswith("prod: NotInUpstream:")
    stage.site.declare("staging", 2)
    stage.tell()
    assert stage.status(pull)[0] == "failure"  # let in, and not live there yet
    stage.reconcile()
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)


def test_a_gate_that_opens_at_a_known_time_is_planned_again_then(stage: Stage) -> None:
    now = stage.clock.now()
    begin, end = now - timedelta(days=1), now + timedelta(hours=2)
    window = {"reason": "Fair", "from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{end:%Y-%m-%dT%H:%M}"}
    stage.site.land(stage.site.policy(freeze=[window]))
    stage.reconcile()
    pull = stage.bump()
    stage.tell()
    assert stage.status(pull)[1].startswith("staging: Frozen:")
    stage.hub.forget()
    stage.clock.ahead += timedelta(minutes=100)
    stage.tell()
    assert stage.hub.log == []
    stage.clock.ahead += timedelta(minutes=21)
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)


def test_the_artifact_is_ours_from_the_plan_on_and_ci_may_forget_it(stage: Stage) -> None:
    pull = stage.bump()
    assert not stage.holds(2)
    stage.tell()
    assert stage.holds(2)
    stage.system.collect()
    assert stage.holds(2)
    stage.site.artifacts[2].expire()
    stage.deploy.review(pull, stage.site.reviewer, "APPROVED")
    stage.deploy.merge(pull, stage.site.reviewer)
    stage.reconcile()
    assert stage.site.current("staging") == 2


def test_ci_that_forgot_the_run_holds_no_plan_of_what_is_in_custody(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    stage.site.artifacts[2].run.delete()
    stage.push(pull, {STAGING: stage.declaration("staging", 2, keep=9)})
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)
    assert f"head={pull.head_commit}" in stage.said(pull)


def test_a_closed_request_is_forgotten_and_its_artifact_may_go(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    assert set(stage.store.told_plans()) == {pull.number}
    stage.deploy.close(pull)
    other = stage.bump("prod", 1, keep=4)
    stage.tell()
    assert set(stage.store.told_plans()) == {other.number}
    stage.clock.ahead += timedelta(days=30)
    stage.system.collect()
    assert not stage.holds(2)


def test_a_conflict_is_told_in_words_and_gone_once_it_is_resolved(stage: Stage) -> None:
    pull = stage.bump(run=2)
    stage.tell()
    stage.site.declare("staging", 3)
    stage.tell()
    state, line = stage.status(pull)
    assert (state, line.partition(":")[0]) == ("error", "ApprovalStale")
    assert "without a conflict in environments/staging" in stage.said(pull).replace("&#47;", "/")
    assert stage.said(pull).startswith(f"<!-- reconciler-plan head={pull.head_commit} ")
    assert stage.store.told_plans()[pull.number].artifacts == (stage.site.artifacts[2].sha256,)
    fresh = stage.deploy.push(
        stage.site.engineer, "resolved", {STAGING: stage.declaration("staging", 2)}, "Resolve", onto="main"
    )
    stage.deploy.force_push(stage.site.engineer, pull.head, fresh)
    stage.tell()
    assert stage.status(pull)[0] == "success", stage.status(pull)
    assert "ApprovalStale" not in stage.said(pull)


def test_a_file_that_can_t_be_read_is_red_with_the_place(stage: Stage) -> None:
    pull = stage.site.pull({STAGING: "version: ["})
    stage.tell()
    assert stage.status(pull)[0] == "failure"
    assert stage.status(pull)[1].startswith("staging: InvalidDeclaration: ")


def test_a_request_of_no_environment_gets_a_status_and_no_comment(stage: Stage) -> None:
    pull = stage.site.pull({"README.md": "More words\n"})
    stage.tell()
    assert stage.comments(pull) == []
    assert stage.status(pull) == ("success", "changes no environment")


def test_one_that_had_a_comment_is_told_when_it_touches_nothing_any_more(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    stage.push(pull, {STAGING: stage.deploy.show("main", STAGING) + "\n", "README.md": "Words\n"})
    stage.tell()
    assert "merging this changes no environment" in stage.said(pull)
    assert stage.status(pull)[0] == "success", stage.status(pull)


def test_a_request_from_a_fork_is_planned_by_its_head(stage: Stage) -> None:
    mallory = stage.hub.person("mallory")
    pull = stage.deploy.fork_pull(mallory, {STAGING: stage.declaration("staging", 2)}, "Please <script>")
    stage.tell()
    assert "staging" in stage.said(pull)
    assert stage.status(pull)[0] == "success", stage.status(pull)


def test_one_request_that_can_t_be_told_keeps_no_other_one_waiting(stage: Stage) -> None:
    first, second = stage.bump(), stage.bump("prod", 1, keep=4)
    stage.hub.fail(403, path=f"/issues/{first.number}/", method="POST", times=1)
    with pytest.raises(ReconcilerError, match="comment"):
        stage.tell()
    assert (len(stage.comments(first)), len(stage.comments(second))) == (0, 1)
    stage.tell()
    assert stage.comments(first) == []  # not before its time
    stage.clock.ahead += timedelta(seconds=module.RETRY_SECONDS)
    stage.tell()
    assert len(stage.comments(first)) == 1


def test_a_github_that_was_down_is_told_everything_later(stage: Stage) -> None:
    pulls = [stage.bump(), stage.bump("prod", 1, keep=4)]
    stage.hub.go_down()
    for _ in range(3):
        with pytest.raises(ReconcilerError) as caught:
            stage.tell()
        assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    stage.hub.come_up()
    stage.tell()
    assert [len(stage.comments(pull)) for pull in pulls] == [1, 1]


def test_a_github_that_goes_down_half_way_is_not_asked_fifty_times(stage: Stage) -> None:
    for n in range(6):
        stage.bump("prod", 1, keep=n + 4)
    stage.hub.fail(502, path="/pulls/", times=100)
    stage.hub.forget()
    with pytest.raises(ReconcilerError):
        stage.tell()
    assert sum("/pulls/" in call.path for call in stage.hub.log) == 3


def test_more_requests_than_one_call_plans_are_planned_by_the_next_ones(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLANNED", 2)
    pulls = [stage.bump("prod", 1, keep=n + 4) for n in range(5)]
    for told in (2, 4, 5):
        stage.tell()
        assert sum(len(stage.comments(pull)) for pull in pulls) == told


def test_a_move_of_the_tip_that_changes_no_plan_edits_nothing(stage: Stage) -> None:
    pull = stage.bump()
    stage.tell()
    before = stage.said(pull)
    stage.deploy.push(stage.site.engineer, "main", {"README.md": "Other words\n"}, "Words")
    stage.hub.forget()
    stage.tell()
    assert (stage.writes(), stage.said(pull)) == (0, before)


def test_a_retargeted_request_is_told_once_somebody_says_so(stage: Stage) -> None:
    stage.deploy.push(stage.site.engineer, "release", {"a": "b"}, "Release")
    pull = stage.bump()
    stage.deploy.retarget(pull, "release")
    stage.tell()
    assert stage.comments(pull) == []
    stage.deploy.retarget(pull, "main")
    stage.plans.look_again()
    stage.tell()
    assert len(stage.comments(pull)) == 1


def test_a_plan_takes_no_lease_and_leaves_live_and_the_record_alone(stage: Stage) -> None:
    before = list(stage.store.audit())
    stage.bump()
    stage.tell()
    assert list(stage.store.audit()) == before
    assert stage.site.current("staging") == 1
    assert stage.system.catalog.get(EnvironmentName("staging")).tip == stage.deploy.tip()


def test_without_the_option_nothing_is_planned(stage: Stage) -> None:
    forge = {**stage.site.settings["forge"], "plans": False}  # type: ignore[dict-item]
    stage.site.configure(forge=forge)
    with stage.site.system() as system:
        assert system.plans() is None
        assert system.pull_requests is not None


def test_the_daemon_tells_plans(stage: Stage) -> None:
    stage.close()
    pull = stage.bump()
    with stage.site.daemon():
        eventually(lambda: len(stage.comments(pull)) == 1)
    stage.open()
