"""`plan`: a real clone, a real merge that nobody made yet, and what the program says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.archives import zip_of
from tests.cliworld import CliWorld
from tests.factories import sha256
from tests.site import files_of, snapshot

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
    assert one["settings"] == [{"path": "approval.required", "before": "2", "after": "1", "loosens": True}]
    assert (one["action"], one["files"]) == ("accept", None)
    assert "lowers a bar" in stage.said()


def test_a_gate_that_would_hold_says_so_and_the_exit_code_tells_a_script(stage: Stage) -> None:
    stage.bump(run=999)
    one = only(stage.plan())
    assert one["held"] == ["provenance"]
    assert one["onMerge"].startswith("nothing changes until provenance lets it")
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
    assert (entry["path"], entry["before"], entry["loosens"]) == ("freeze", "-", False)
    assert "Christmas" in stage.said()


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
        "environments", "concerned", "concernedNotShown",
    }  # fmt: skip
    assert set(only(plan)) == {
        "name", "file", "removed", "action", "digest", "live", "liveUnknown", "drift", "target", "declaredBefore",
        "declaredAfter", "settings", "commits", "files", "gates", "held", "notBefore", "approval", "onMerge",
        "onFailure", "undo",
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
