"""`plan`: a real clone, a real merge that nobody made yet, and what the program says of it."""

from __future__ import annotations

import contextlib
import html
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model import EnvironmentName
from tests.archives import zip_of
from tests.cliworld import CliWorld
from tests.factories import sha256
from tests.site import files_of, policy_text, snapshot

NEXT = zip_of(
    {**files_of(102), "bin/migrate": b"#!/bin/sh\n", "lib/1.txt": None, "lib/0.txt": b"much longer than before"},
    {"bin/app": 0o755, "bin/migrate": 0o755},
)


class Stage(CliWorld):
    """A site with run 101 live, and run 102 ready in CI."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.site.publish(101)
        self.site.publish(102)
        for name in ("prod", "staging"):
            self.site.declare(name, 101)
        assert self("reconcile").exit_code == 0

    def propose(self, files: dict[str, str | None], at: str = "main") -> str:
        """A branch in the clone that nobody pushed; returns its head."""
        git = self.site.git.switch("main").branch("proposal", at)
        for path, text in files.items():
            git.remove(path) if text is None else git.write(path, text)
        return git.commit(self.site.engineer, "Propose", sign=True).tip

    def bump(self, name: str = "staging", run: int = 102, **fields: Any) -> str:
        """Propose another run for an environment."""
        return self.propose({f"environments/{name}.yaml": self.site.declaration(name, run, **fields)})

    def plan(self, *arguments: str) -> Any:
        """What `plan` says to a program."""
        result = self("plan", "--repo", str(self.site.git.work), "-o", "json", *arguments)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def said(self, *arguments: str) -> str:
        """What it says to a person."""
        result = self("plan", "--repo", str(self.site.git.work), *arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def only(plan: Any) -> Any:
    (one,) = plan["environments"]
    return one


def test_the_runs_the_files_and_what_happens_are_told_and_nothing_is_changed(stage: Stage) -> None:
    stage.bump()
    live, entries = snapshot(stage.site.live), stage.site.audit()
    text = stage.said()
    assert "staging: deploy, run 101 (" in text
    assert "installs 102-" in text
    assert "live stays 101-" in text
    assert "reconciler rollback staging --to 101" in text
    assert "3 changed" in text
    assert "prod" not in text
    assert snapshot(stage.site.live) == live
    assert stage.site.audit() == entries


def test_the_plan_names_the_act_that_is_then_carried_out(stage: Stage) -> None:
    stage.bump()
    planned = only(stage.plan())
    stage.site.git.merge("proposal", signer=stage.site.reviewer).push()
    assert stage("reconcile").exit_code == 0
    store = stage.site.store()
    done = store.attempts(limit=1)[0]
    assert (done.environment, done.plan) == ("staging", planned["digest"])
    assert done.action.value == planned["action"]


def test_files_are_compared_with_what_is_live_now_from_our_own_copies(stage: Stage) -> None:
    stage.site.publish(103, NEXT)
    stage.bump(run=103, sha=sha256(NEXT))
    stage.plan()
    shutil.rmtree(stage.site.runs / "101")  # CI forgets what is live
    files = only(stage.plan())["files"]
    assert [item["path"] for item in files["added"]] == ["bin/migrate"]
    assert [item["path"] for item in files["removed"]] == ["lib/1.txt"]
    assert {item["path"] for item in files["changed"]} == {"bin/app", "lib/0.txt"}
    assert files["added"][0]["after"] == {"size": 10, "executable": True, "sha256": sha256(b"#!/bin/sh\n")}


def test_the_artifact_is_in_custody_once_it_was_planned(stage: Stage) -> None:
    stage.bump()
    digest = sha256(stage.site.artifact(102))
    (custody,) = [gate for gate in only(stage.plan())["gates"] if gate["gate"] == "custody"]
    assert (custody["verdict"], custody["evidence"][0][: 7 + 64]) == ("passed", f"sha256 {digest}")
    assert (stage.site.folder / "state" / "custody" / "sha256" / digest[:2] / digest).is_file()


def test_commits_between_the_runs_are_named_where_the_repository_holds_them(stage: Stage) -> None:
    git = stage.site.git.switch("main")
    first = git.commit(stage.site.engineer, "Before").tip
    subjects = [f"Change {n}" for n in range(22)]
    for subject in subjects:
        git.commit(stage.site.engineer, subject)
    last = git.push().tip
    stage.site.publish(201, stage.site.artifact(101), commit=first)
    stage.site.publish(202, stage.site.artifact(102), commit=last)
    stage.site.declare("staging", 201, sha=sha256(stage.site.artifact(101)))
    assert stage("reconcile").exit_code == 0
    stage.bump(run=202, sha=sha256(stage.site.artifact(102)))
    commits = only(stage.plan())["commits"]
    assert (commits["before"], commits["after"]) == (first, last)
    assert [item["subject"] for item in commits["subjects"]] == subjects[:1:-1]
    assert commits["more"]


def test_settings_that_lower_a_bar_are_flagged(stage: Stage) -> None:
    stage.site.declare("prod", 101, approval={"required": 2})
    stage("reconcile")
    stage.propose({"environments/prod.yaml": stage.site.declaration("prod", 101, approval={"required": 1})})
    one = only(stage.plan())
    assert one["settings"] == [{"path": "approval.required", "before": 2, "after": 1, "loosens": True}]
    assert (one["action"], one["files"]) == ("accept", None)
    text = stage.said()
    assert "! lowers a bar in prod\n" in text
    assert "    !   approval.required   2 → 1\n" in text


def test_a_gate_that_would_hold_says_so_and_the_exit_code_tells_a_script(stage: Stage) -> None:
    stage.bump(run=999)
    one = only(stage.plan())
    assert one["held"] == ["provenance"]
    assert one["onMerge"].startswith("nothing changes until the gate provenance passes; then it")
    repo = str(stage.site.git.work)
    assert stage("plan", "--repo", repo, "--exit-code").exit_code == 3
    assert stage("plan", "--repo", repo).exit_code == 0


def test_an_approval_that_is_pending_is_no_refusal(stage: Stage) -> None:
    stage.bump()
    one = only(stage.plan("--exit-code"))
    (approval,) = [gate for gate in one["gates"] if gate["gate"] == "approval"]
    assert approval["verdict"] == "pending"
    assert one["approval"] == "1 person who may write to the repository, no author among them"


def test_bytes_that_are_not_the_declared_ones_are_held_by_custody(stage: Stage) -> None:
    stage.site.publish(103, b"other bytes")
    (stage.site.runs / "103" / "app.zip").write_bytes(b"still others")
    stage.bump(run=103, sha=sha256(b"other bytes"))
    one = only(stage.plan())
    assert one["held"] == ["custody"]
    assert one["files"]["unknown"]


def test_an_environment_that_is_new_and_one_that_goes(stage: Stage) -> None:
    stage.propose({"environments/prod.yaml": None, "environments/qa.yaml": stage.site.declaration("qa", 102)})
    prod, qa = stage.plan()["environments"]
    assert (prod["name"], prod["removed"], prod["held"]) == ("prod", True, ["history"])
    assert prod["onMerge"].startswith("nothing is torn down: 101-")
    assert (qa["name"], qa["declaredBefore"], qa["live"]) == ("qa", None, None)
    assert "the first release there" in qa["onMerge"]
    assert "prod: file removed, run 101" in stage.said()


def test_a_file_that_can_t_be_read_is_held_by_the_schema_and_named(stage: Stage) -> None:
    stage.propose({"environments/prod.yaml": "version: [", "environments/Bad.yaml": "x"})
    plan = stage.plan()
    assert only(plan)["held"] == ["schema"]
    assert any("Bad.yaml" in problem for problem in plan["problems"])
    assert "101-" in only(plan)["onMerge"]


def test_a_policy_change_is_shown_and_concerns_the_others_briefly(stage: Stage) -> None:
    policy = {"version": 1, "freeze": [{"reason": "Christmas", "from": "2020-01-01", "to": "2090-01-01"}]}
    stage.propose({"environments/policy.yaml": yaml.safe_dump(policy)})
    plan = stage.plan()
    assert plan["environments"] == []
    assert [one["name"] for one in plan["concerned"]] == ["prod", "staging"]
    (entry,) = plan["policy"]["settings"]
    assert (entry["path"], entry["before"], entry["loosens"]) == ("freeze", None, False)
    assert entry["after"] == {
        "reason": "Christmas", "environments": ["*"], "time_zone": "UTC", "from": "2020-01-01", "to": "2090-01-01",
    }  # fmt: skip
    assert "+   freeze   Christmas: from 2020-01-01 to 2090-01-01 (UTC), for all environments\n" in stage.said()


def frozen(*names: str) -> dict[str, object]:
    return {"reason": "Christmas", "from": "2020-01-01", "to": "2090-01-01", "environments": list(names)}


def test_a_freeze_that_a_merge_brings_is_told_of_every_environment_that_it_closes(stage: Stage) -> None:
    stage.propose({"environments/policy.yaml": policy_text(freeze=[frozen("prod")])})
    prod, staging = stage.plan()["concerned"]
    assert (prod["frozen"], prod["frozenBefore"]) == ({"reason": "Christmas", "opens": "2090-01-01T00:00:00Z"}, False)
    assert (staging["frozen"], staging["held"]) == (None, [])
    for form in ("text", "markdown"):
        words = plain(stage.said("-o", form))
        assert re.search(r"prod\W+(none )?frozen from the merge on until 2090-01-01 00:00:00Z: Christmas", words)
        assert re.search(r"staging\W+(none )?nothing in the way", words)


def test_a_freeze_that_stays_or_goes_is_not_told_as_one_that_comes(stage: Stage) -> None:
    stage.site.configure(new_environments={"required": 1})
    stage.site.policy(freeze=[frozen("prod", "staging")])
    assert stage("reconcile").exit_code == 0
    stage.propose({"environments/policy.yaml": policy_text(freeze=[frozen("prod")])})
    text = plain(stage.said())
    assert "prod none frozen until 2090-01-01 00:00:00Z: Christmas" in text
    assert "staging none no longer frozen, once the change is let in" in text


def test_a_change_of_the_policy_says_who_may_let_it_in_and_no_gate_reproaches_it(stage: Stage) -> None:
    stage.site.configure(new_environments={"required": 1})
    stage.site.policy(approval=[{"required": 2}])
    stage.propose(
        {
            "environments/policy.yaml": policy_text(approval=[{"required": 3}]),
            "environments/staging.yaml": stage.site.declaration("staging", 102),
        }
    )
    plan = stage.plan()
    asked = plan["policy"]["approval"]
    assert asked["verdict"] == "pending"
    assert asked["message"].startswith("2 people who may write to the repository")  # by the policy before it
    assert "; and 1 person who may" in asked["message"]  # by the operator
    (said,) = {gate["evidence"][-1] for gate in only(plan)["gates"] if gate["gate"] in ("revocation", "freeze")}
    assert said.startswith(f"the change of policy.yaml waits for approval, by {asked['message']}; until then")
    assert "came to the branch without an approval" not in json.dumps(plan)
    for form in ("text", "markdown"):
        assert re.search(rf"Who may approve (it|the policy)\W+{asked['message']}", plain(stage.said("-o", form)))


def test_what_was_pushed_into_the_policy_before_is_not_hidden_by_the_change_that_waits(stage: Stage) -> None:
    stage.site.configure(new_environments={"required": 1})
    stage.site.git.direct_push(
        stage.site.engineer, "environments/policy.yaml", policy_text(revoked=[{"run_id": 7, "reason": "smuggled"}])
    )
    smuggled = stage.site.git.tip[:12]
    rules = {"revoked": [{"run_id": 7, "reason": "smuggled"}, {"run_id": 8, "reason": "bad"}]}
    stage.propose(
        {
            "environments/policy.yaml": policy_text(**rules),
            "environments/staging.yaml": stage.site.declaration("staging", 102),
        }
    )
    plan = stage.plan()
    assert plan["policy"]["approval"]["verdict"] == "held"
    reproach = f"commit {smuggled} came to the branch without an approval"
    assert reproach in plan["policy"]["approval"]["message"]
    (revocation,) = [gate for gate in only(plan)["gates"] if gate["gate"] == "revocation"]
    assert reproach in revocation["evidence"][-1]
    assert reproach in plain(stage.said("-o", "markdown"))


def test_a_merge_that_revokes_what_is_live_is_undone_by_a_revert(stage: Stage) -> None:
    revoked = [{"sha256": sha256(stage.site.artifact(101)), "reason": "it loses orders"}]
    stage.propose(
        {
            "environments/policy.yaml": policy_text(revoked=revoked),
            "environments/staging.yaml": stage.site.declaration("staging", 102),
        }
    )
    assert only(stage.plan())["undo"] == "revert the merge, which also lifts the revocation of run 101"
    assert f"+   revoked   {revoked[0]['sha256'][:12]}: it loses orders\n" in stage.said()
    stage.site.policy(revoked=revoked)
    stage.site.git.git("branch", "--delete", "--force", "proposal")
    stage.bump()
    assert only(stage.plan())["undo"] == "promote another run; run 101, which is live now, is revoked"


def test_while_the_branch_is_rewritten_the_plan_says_first_that_everything_holds(stage: Stage) -> None:
    seen = stage.site.git.switch("main").tip
    stage.site.git.rewrite(stage.site.engineer)
    stage.bump()
    plan = stage.plan()
    assert f"does not descend from {seen}" in plan["rewritten"]
    (history, *_) = only(plan)["gates"]
    assert (history["verdict"], history["reason"]) == ("held", "BranchRewritten")
    assert stage("reconcile").exit_code == 3
    assert stage.site.store().statuses()[EnvironmentName("staging")].message == history["message"]
    assert stage.said().startswith("The branch was rewritten, so every environment holds: the tip ")
    assert "The branch was rewritten, so every environment holds" in plain(stage.said("-o", "markdown"))
    tip = stage.site.git.switch("main").tip
    assert stage("accept-rewrite", tip, "--reason", "meant").exit_code == 0
    assert stage.plan("--head", "proposal")["rewritten"] is None


def test_a_merge_that_brings_the_lost_history_back_is_followed(stage: Stage) -> None:
    git = stage.site.git.switch("main")
    before, lost = git.rev("HEAD^1"), git.tip
    git.branch("kept")
    git.force_push(before)
    assert stage.plan("--head", "main", "--base", before)["rewritten"] is None
    assert lost in stage.plan("--head", before)["rewritten"]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        pytest.param("held", "changes 1 environment; it is held after the merge", id="the only one"),
        pytest.param("policy", "changes the common policy and no environment's own file (", id="the policy alone"),
    ],
)
def test_the_answer_is_a_sentence(stage: Stage, change: str, verdict: str) -> None:
    if change == "held":
        stage.bump(run=999)
    else:
        stage.propose({"environments/policy.yaml": policy_text(freeze=[frozen("x")])})
    assert verdict in stage.said().splitlines()[0]


def test_gates_that_were_not_asked_are_named_together_and_the_heading_says_what_holds(stage: Stage) -> None:
    stage.bump("qa", path="/etc/shop")
    text = stage.said()
    assert "qa: held by target: TargetNotAllowed; nothing is live\n" in text
    assert "not reached   history, schema, approval, revocation" in text
    assert text.count("not reached") == 1


def test_two_runs_of_one_commit_are_said_to_be_so(stage: Stage) -> None:
    stage.bump()
    commit = only(stage.plan())["commits"]["after"][:12]
    assert f"Commits: both built from {commit}\n" in stage.said()


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_of_any_width_shows_every_word_of_a_change_of_the_policy(stage: Stage, width: int) -> None:
    reason = "the shop must not change while everybody is away and nobody can be called, whatever happens"
    stage.site.policy(freeze=[{**frozen("prod"), "reason": reason}])
    stage.site.declare("prod", 103)  # not live yet, so that what is declared now is told, too
    gone = {"sha256": sha256(b"x"), "reason": reason}
    stage.propose(
        {
            "environments/policy.yaml": policy_text(revoked=[gone]),
            "environments/prod.yaml": stage.site.declaration("prod", 102),
        }
    )
    shown = on_terminal(stage, width)
    assert max(map(len, shown.splitlines())) <= width
    assert f"-   freeze    {reason[:30]}" in shown
    assert f"+   revoked   {sha256(b'x')[:12]}: {reason[:20]}" in shown
    assert plain(shown).count(reason) >= 2
    assert re.search(r"^  Digest +[0-9a-f]{64}$", shown, re.MULTILINE)


def on_terminal(stage: Stage, width: int) -> str:
    """What the real program prints to a terminal of so many columns."""
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (50, width))
    argv = [sys.executable, "-m", "reconciler", "-c", str(stage.site.settings_file), "plan"]
    argv += ["--repo", str(stage.site.git.work), "--head", "proposal"]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(argv, stdin=there, stdout=there, stderr=there, env=environment):
        os.close(there)
        shown = b""
        with contextlib.suppress(OSError):  # Linux ends a terminal that nobody holds with EIO
            while piece := os.read(here, 65_536):
                shown += piece
    os.close(here)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r(?=\n)", "", shown.decode())  # steering takes no room


def plain(text: str) -> str:
    """The words alone: on one line, signs that were spelled out for a forge read back."""
    return " ".join(html.unescape(text).replace("\u200b", "").split())


def test_a_branch_that_is_behind_is_merged_in_mind_and_one_in_conflict_is_not(stage: Stage) -> None:
    before = stage.site.git.switch("main").tip
    stage.site.declare("prod", 102)
    stage.propose({"environments/staging.yaml": stage.site.declaration("staging", 102)}, at=before)
    assert only(stage.plan())["name"] == "staging"
    stage.site.declare("staging", 103)
    stage.site.git.switch("proposal")
    result = stage("plan", "--repo", str(stage.site.git.work), "--head", "proposal")
    assert result.exit_code == 3
    assert "ApprovalStale" in result.stderr
    assert "environments/staging.yaml" in result.stderr


def test_a_target_that_is_not_reached_from_here_does_not_end_the_plan(stage: Stage) -> None:
    stage.bump()
    stage.site.live.rename(stage.site.folder / "elsewhere")
    one = only(stage.plan("--exit-code"))
    assert one["live"] is None
    assert one["liveUnknown"]
    assert {item["path"] for item in one["files"]["changed"]} == {"bin/app", "lib/0.txt", "lib/1.txt"}
    text = stage.said()
    assert "not known from here" in text
    assert "the daemon judges it where it runs" in text


@pytest.mark.parametrize("name", ["prod", "qa"])
def test_a_target_that_is_not_allowed_is_held_and_no_question_of_from_where(stage: Stage, name: str) -> None:
    stage.bump(name, path="/etc/shop")
    one = only(stage.plan())
    assert (one["held"], one["liveUnknown"], one["action"]) == (["target"], None, None)
    assert stage("plan", "--repo", str(stage.site.git.work), "--exit-code").exit_code == 3


def test_nothing_to_merge_is_said_in_words(stage: Stage) -> None:
    stage.site.git.switch("main")
    assert "changes no environment" in stage.said()
    assert stage.plan()["environments"] == []


@pytest.mark.parametrize("revision", ["nope", "--all", "HEAD:environments", "", "HEAD^{tree}"])
def test_what_is_no_commit_is_a_usage_error(stage: Stage, revision: str) -> None:
    result = stage("plan", "--repo", str(stage.site.git.work), f"--head={revision}")
    assert result.exit_code == 2
    assert "is no commit of the clone" in result.stderr


def test_a_folder_without_a_clone_is_a_usage_error(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = stage("plan", "--repo", str(tmp_path_factory.mktemp("empty")))
    assert (result.exit_code, "--repo" in result.stderr) == (2, True)
    assert " is in no git repository\nhint: go into your clone" in result.stderr


def test_a_base_of_one_s_own_and_a_worktree(stage: Stage, tmp_path: Path) -> None:
    stage.bump()
    worktree = tmp_path / "worktree"
    stage.site.git.git("worktree", "add", "--quiet", "--detach", str(worktree), "proposal")
    result = stage("plan", "--repo", str(worktree), "--base", "main", "--head", "proposal")
    assert result.exit_code == 0, result.stderr
    assert "staging: deploy" in result.stdout


def test_the_keys_of_a_plan_are_a_contract(stage: Stage) -> None:
    stage.bump()
    plan = stage.plan()
    assert (plan["apiVersion"], plan["kind"]) == ("reconciler/v1", "Plan")
    assert set(plan) == {
        "apiVersion", "kind", "base", "head", "branch", "asOf", "digest", "refused", "policy", "problems",
        "environments", "concerned", "concernedNotShown", "rewritten",
    }  # fmt: skip
    assert set(only(plan)) == {
        "name", "file", "removed", "action", "digest", "live", "liveUnknown", "drift", "target", "declaredBefore",
        "declaredAfter", "settings", "commits", "files", "gates", "held", "notBefore", "approval", "onMerge",
        "onFailure", "undo", "running",
    }  # fmt: skip
    assert set(only(plan)["files"]) == {
        "unknown", "added", "changed", "removed", "unchanged", "bytesBefore", "bytesAfter",
    }  # fmt: skip
    assert set(only(plan)["commits"]) == {"before", "after", "subjects", "more"}


def test_the_markdown_names_head_digest_and_time(stage: Stage) -> None:
    head = stage.bump()
    plan = stage.plan()
    first, second, *_ = stage.said("-o", "markdown").splitlines()
    assert first == f"<!-- reconciler-plan head={head} digest={plan['digest']} -->"
    assert second == "## Plan: merging this changes 1 environment"
