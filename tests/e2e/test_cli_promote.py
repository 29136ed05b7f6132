"""`promote` and `rollback` on a real site: branches at a bare origin, let in by somebody else, then carried out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from reconciler import wiring
from reconciler.cli.proposing.evidence import hashed
from reconciler.core.authoring import trailers
from reconciler.errors import Transient
from reconciler.model import Proposal
from reconciler.settings import Settings
from tests.cliworld import CliWorld, program
from tests.factories import sha256
from tests.simulation.faults import Faults
from tests.simulation.origins import FakeForge, FakeSource, digest_of
from tests.site import snapshot

PROD = "environments/prod.yaml"
PROMOTED = "promote/prod/run-102"
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class World:
    """A site with runs 101 to 103, and the engineer's own clone, in which the commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.cli = CliWorld(folder)
        self.site, self.git = self.cli.site, self.cli.site.git
        for run in (101, 102, 103):
            self.site.publish(run)
        self.mine = folder / "mine"

    def clone(self) -> None:
        """What every engineer does once."""
        engineer = self.site.engineer
        self.git.run("git", "clone", "--quiet", str(self.git.origin), str(self.mine))
        assert engineer.key
        for key, value in {
            "user.name": engineer.name, "user.email": engineer.email, "gpg.format": "ssh",
            "user.signingKey": str(engineer.key.private), "commit.gpgSign": "true",
        }.items():  # fmt: skip
            self.git.run("git", "config", key, value, cwd=self.mine)

    def __call__(self, *arguments: str, **variables: str) -> Result:
        if not self.mine.exists():
            self.clone()
        return self.cli(*arguments, "--repo", str(self.mine), **QUIET, **variables)

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "-o", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def at_origin(self, *arguments: str) -> str:
        return self.git.run("git", *arguments, cwd=self.git.origin).decode().rstrip("\n")

    def branches(self) -> list[str]:
        """At the origin, but the tracked one."""
        found = self.at_origin("for-each-ref", "--format=%(refname:short)", "refs/heads").split("\n")
        return [name for name in found if name != "main"]

    def tip(self, branch: str) -> str:
        return self.at_origin("rev-parse", f"refs/heads/{branch}")

    def file(self, rev: str, path: str = PROD) -> bytes:
        return self.git.run("git", "cat-file", "blob", f"{rev}:{path}", cwd=self.git.origin)

    def let_in(self, branch: str) -> None:
        """What the reviewer types."""
        self.git.git("fetch", "--quiet", "origin")
        self.git.merge(f"origin/{branch}", signer=self.site.reviewer).push()

    def deploy(self, *runs: int) -> None:
        """Runs that were live in prod, one after the other; the last is declared."""
        for run in runs:
            self.site.declare("prod", run)
            assert self.site.reconcile()["prod"].ready

    def meddle(self, how: str, message: str) -> str:
        """What a colleague does to the branch of a proposal: on top of it, or in its place."""
        bob, text = self.site.reviewer, self.file(PROMOTED).decode()
        self.git.git("fetch", "--quiet", "origin")
        self.git.git("switch", "--quiet", "-C", "theirs", f"origin/{PROMOTED}" if "top" in how else "main")
        if "merge" in how:
            self.git.git("switch", "--quiet", "-c", "side", "HEAD~1")
            self.git.commit(bob, "Side").switch("theirs")
            self.git.git("-c", "user.name=B", "-c", "user.email=b@b", "merge", "--quiet", "--no-commit", "side")
        elif "file" in how:
            self.git.write("environments/other.yaml", "mine")
        else:
            text += "suspend: true\n"
        tip = self.git.write(PROD, text).commit(bob, "And suspend it" if "top" in how else message).tip
        self.git.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{PROMOTED}")
        self.git.switch("main")
        return tip


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


def test_a_promotion_is_proposed_let_in_by_somebody_else_and_goes_live(world: World) -> None:
    world.deploy(101)
    result = world("promote", "prod", "--run", "102")
    assert result.exit_code == 0
    assert world.branches() == [PROMOTED]
    assert f"branch   {PROMOTED}\n" in result.stdout
    assert "change   prod: run 101 → 102\n" in result.stdout
    assert f"  git merge --no-ff -S origin/{PROMOTED}\n" in result.stderr
    assert world.site.reconcile()["prod"].declared.run_id == 101
    world.let_in(PROMOTED)
    assert world.site.reconcile()["prod"].ready
    assert world.site.current("prod") == 102


def test_the_lines_that_are_printed_let_it_in_as_they_are(world: World) -> None:
    world.deploy(101)
    lines = [line[2:] for line in world("promote", "prod", "--run", "102").stderr.splitlines() if line[:2] == "  "]
    reviewer = world.site.reviewer
    assert reviewer.key
    for key, value in {"user.name": reviewer.name, "user.email": reviewer.email,
                       "gpg.format": "ssh", "user.signingKey": str(reviewer.key.private)}.items():  # fmt: skip
        world.git.git("config", key, value)
    world.git.run("sh", "-ec", "\n".join(lines), variables={"GIT_EDITOR": "true"})
    assert world.site.reconcile()["prod"].ready
    assert world.site.current("prod") == 102


def test_the_keys_of_a_proposal_are_a_contract(world: World) -> None:
    world.deploy(101)
    found = world.json("promote", "prod", "--run", "102")
    assert found.pop("diff").startswith("--- a/environments/prod.yaml\n+++ b/environments/prod.yaml\n")
    assert found.pop("message").startswith("Promote prod to run 102\n\n")
    assert found == {
        "apiVersion": "reconciler/v1",
        "kind": "Proposal",
        "branch": PROMOTED,
        "commit": world.tip(PROMOTED),
        "environment": "prod",
        "from": {"runId": 101, "sha256": sha256(world.site.artifact(101))},
        "to": {"runId": 102, "sha256": sha256(world.site.artifact(102))},
        "pushed": True,
        "url": None,
    }
    assert world("promote", "prod", "--run", "102", "-o", "name").stdout == f"{PROMOTED}\n"


def test_the_commit_carries_its_evidence_and_the_name_of_who_typed_it(world: World) -> None:
    world.deploy(101)
    world("promote", "prod", "--run", "102")
    who, _, message = world.at_origin("log", "-1", "--format=%an <%ae>%n%B", PROMOTED).partition("\n")
    assert who == "Engineer <engineer@example.com>"
    said = trailers(message)
    assert said is not None
    assert (said.environment, said.after.run_id, said.after.sha256) == ("prod", 102, sha256(world.site.artifact(102)))
    assert "CI workflow: build.yml\n" in message
    assert "Undo: reconciler rollback prod --to 101\n" in message


@pytest.mark.parametrize(("name", "end"), [("prod", "\n"), ("shop/eu", "\r\n")], ids=["LF", "CRLF, in a folder"])
def test_two_values_change_and_no_other_byte(world: World, name: str, end: str) -> None:
    digest, live = sha256(world.site.artifact(101)), world.site.live
    text = (
        f"# über prod{end}version:   1{end}artifact:{end}    name: 'app'   # ours{end}"
        f"    sha256: {digest}  # bytes{end}    run_id:  101    # CI{end}{end}"
        f"target: {{type: directory, path: {live}/x}}{end}# the end, without a line feed"
    )
    path = f"environments/{name}.yaml"
    world.site.merge({path: text.encode()})
    assert world("promote", name, "--run", "102").exit_code == 0
    wanted = text.replace(digest, sha256(world.site.artifact(102))).replace("101 ", "102 ")
    branch = f"promote/{name}/run-102"
    assert world.file(branch, path) == wanted.encode()
    assert world.at_origin("diff", "--name-only", "main", branch) == path


def test_a_dirty_clone_stays_just_as_it_is(world: World) -> None:
    world.deploy(101)
    world.clone()
    (world.mine / PROD).write_text("half done")
    (world.mine / "staged").write_text("staged")
    world.git.run("git", "switch", "--quiet", "--create", "feature", cwd=world.mine)
    world.git.run("git", "add", "staged", cwd=world.mine)

    def own() -> dict[str, tuple[int, ...]]:
        kept = (".git/index", ".git/HEAD", ".git/refs/heads/", ".git/logs/HEAD", ".git/FETCH_HEAD")
        files = snapshot(world.mine).items()
        return {path: value for path, value in files if not path.startswith(".git") or path.startswith(kept)}

    before = own()
    assert world("promote", "prod", "--run", "102").exit_code == 0
    assert own() == before


def test_the_same_command_twice_gives_one_branch_one_commit_and_no_second_push(world: World) -> None:
    world.deploy(101)
    first = world.json("promote", "prod", "--run", "102")
    hook = world.mine / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    again = world.json("promote", "prod", "--run", "102")
    assert (again["commit"], again["pushed"]) == (first["commit"], False)
    assert "there already" in world("promote", "prod", "--run", "102").stdout
    assert world.branches() == [PROMOTED]


def test_what_is_declared_already_needs_no_branch(world: World) -> None:
    world.deploy(101)
    for arguments in (["promote", "prod", "--run", "101"], ["rollback", "prod", "--to", "101"]):
        result = world(*arguments)
        assert (result.exit_code, result.stdout) == (0, "prod declares run 101 already; nothing to do\n")
        assert world.json(*arguments)["branch"] is None
    assert world.branches() == []


def test_when_the_tracked_branch_moved_on_the_proposal_is_built_anew_on_it(world: World) -> None:
    world.deploy(101)
    old = world.json("promote", "prod", "--run", "102")["commit"]
    world.site.declare("dev", 101)
    new = world.json("promote", "prod", "--run", "102")
    assert new["pushed"]
    assert new["commit"] == world.tip(PROMOTED) != old
    assert world.at_origin("rev-list", "main..promote/prod/run-102") == new["commit"]
    world.let_in(PROMOTED)
    world.site.declare("prod", 103)
    assert world.json("promote", "prod", "--run", "102")["pushed"], "what was merged is nobody's work any more"


@pytest.mark.parametrize(
    "how", ["a commit on top", "trailers over another change", "trailers over a second file", "trailers over a merge"]
)
def test_somebody_elses_work_on_the_branch_is_not_overwritten(world: World, how: str) -> None:
    world.deploy(101)
    message = world.json("promote", "prod", "--run", "102")["message"]
    theirs = world.meddle(how, message)
    world.site.declare("dev", 101)
    result = world("promote", "prod", "--run", "102")
    assert result.exit_code == 3
    assert f"the branch {PROMOTED} at origin holds work that this command did not make: {theirs[:12]}" in result.stderr
    assert world.tip(PROMOTED) == theirs


def test_a_race_for_the_branch_is_told_and_leaves_nothing(world: World) -> None:
    world.deploy(101)
    world.clone()
    theirs = world.tip("main")
    hook = world.mine / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ngit --git-dir={world.git.origin} update-ref refs/heads/{PROMOTED} {theirs}\n")
    hook.chmod(0o755)
    result = world("promote", "prod", "--run", "102")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"error: somebody moved {PROMOTED} at origin just now" in result.stderr
    assert world.tip(PROMOTED) == theirs
    refs = world.git.run("git", "for-each-ref", "--format=%(refname)", cwd=world.mine).decode()
    assert PROMOTED not in refs


def test_a_dry_run_prints_change_and_message_and_pushes_nothing(world: World) -> None:
    world.deploy(101)
    result = world("promote", "prod", "--run", "102", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("Promote prod to run 102\n\nFrom run 101, sha256 ")
    assert "\n-  run_id: 101\n" in result.stdout
    assert "\n+  run_id: 102\n" in result.stdout
    assert world.branches() == []
    assert world.json("promote", "prod", "--run", "102", "--dry-run")["commit"] is None


# --- from another environment ---------------------------------------------------------------------


def test_what_another_environment_declares_is_promoted(world: World) -> None:
    world.site.declare("staging", 102)
    world.deploy(101)
    result = world("promote", "prod", "--from", "staging")
    assert (result.exit_code, "note: " in result.stderr) == (0, False)
    assert f"sha256: {sha256(world.site.artifact(102))}\n".encode() in world.file(PROMOTED)
    assert "Promoted from: staging\n" in world.at_origin("log", "-1", "--format=%B", PROMOTED)


def test_what_is_not_live_and_healthy_there_is_promoted_with_a_word(world: World) -> None:
    world.site.declare("staging", 101)
    world.deploy(101)
    world.site.declare("staging", 102)
    result = world("promote", "prod", "--from", "staging")
    assert result.exit_code == 0
    assert "note: run 102 was not live and healthy in staging at the last look" in result.stderr


def test_another_artifact_is_not_promoted_into_this_one(world: World) -> None:
    world.site.merge({"environments/api.yaml": world.site.declaration("api", 102).replace("name: app", "name: api")})
    world.deploy(101)
    result = world("promote", "prod", "--from", "api")
    assert result.exit_code == 2
    assert "api declares the artifact 'api', environments/prod.yaml is about 'app'" in result.stderr


def test_a_digest_that_ci_contradicts_is_not_promoted(world: World) -> None:
    world.site.declare("staging", 102, sha="a" * 64)
    world.deploy(101)
    result = world("promote", "prod", "--from", "staging")
    assert (result.exit_code, world.branches()) == (1, [])
    assert result.stderr.startswith("error: DigestMismatch: ")


# --- what ends in words ---------------------------------------------------------------------------


REFUSED: list[tuple[list[str], int, str]] = [
    (["prd", "--run", "102"], 2, "error: no environment is called 'prd'\nhint: did you mean prod?\n"),
    (["../prod", "--run", "102"], 2, "error: no environment is called '../prod'\n"),
    (["prod", "--from", "stagin"], 2, "error: no environment is called 'stagin'\n"),
    (["prod", "--run", "999"], 3, "error: RunNotFound: there is no run 999"),
    (["prod", "--run", "104"], 3, "error: RunNotAllowed: run 104 comes from workflow 'evil.yml'"),
    (["prod", "--run", "105"], 3, "error: RunNotSuccessful: run 105"),
    (["prod"], 2, "error: say what to promote: either --run ID or --from ENV\n"),
    (["prod", "--run", "102", "--from", "prod"], 2, "error: say what to promote"),
    (["prod", "--run", "102", "--branch", "nope"], 1, "error: there is no branch 'nope' at origin\n"),
    (["prod", "--run", "102", "--remote", "nope"], 2, "has no remote 'nope'; it has: origin\n"),
    (["broken", "--run", "102"], 3, "environments/broken.yaml:1:1"),
    (["broken", "--run", "102"], 3, "environments/broken.yaml:2:1: artifact.run_id"),
]


def test_what_can_not_be_promoted_is_told_and_pushes_nothing(world: World) -> None:
    world.site.publish(104, workflow="evil.yml")
    world.site.publish(105, conclusion="failure")
    world.site.merge({"environments/broken.yaml": "vresion: 1\nartifact: {name: x}\n"})
    world.site.declare("prod", 101)
    for arguments, code, words in REFUSED:
        result = world("promote", *arguments)
        assert (result.exit_code, result.stdout) == (code, ""), arguments
        assert words in result.stderr, arguments
    assert world.branches() == []


def test_a_folder_that_is_no_clone_is_told(world: World, tmp_path: Path) -> None:
    result = world.cli("promote", "prod", "--run", "102", "--repo", str(tmp_path), **QUIET)
    assert result.exit_code == 2
    assert f"error: {tmp_path} is in no git repository\nhint: go into your clone" in result.stderr


def test_a_person_without_a_name_is_told_how_to_give_one(world: World) -> None:
    world.deploy(101)
    world.clone()
    for key in ("user.name", "user.email"):
        world.git.run("git", "config", "--unset", key, cwd=world.mine)
    world.git.run("git", "config", "user.useConfigOnly", "true", cwd=world.mine)
    result = world("promote", "prod", "--run", "102", HOME=str(world.git.folder / "home"))
    assert result.exit_code == 1
    assert "error: git does not know who you are" in result.stderr
    assert "git config user.name 'Your Name'" in result.stderr


def test_an_unsigned_proposal_is_pushed_with_a_warning_and_made_anew_once_its_author_signs(world: World) -> None:
    world.deploy(101)
    world.clone()
    world.git.run("git", "config", "commit.gpgSign", "false", cwd=world.mine)
    for _ in range(2):
        assert "note: the commit is not signed" in world("promote", "prod", "--run", "102").stderr
    world.git.run("git", "config", "commit.gpgSign", "true", cwd=world.mine)
    result = world("promote", "prod", "--run", "102")
    assert (result.exit_code, "not signed" in result.stderr, "there already" in result.stdout) == (0, False, False)
    assert "\ngpgsig " in world.at_origin("cat-file", "commit", PROMOTED)


def test_the_real_program_in_a_clone_without_a_terminal(world: World) -> None:
    world.deploy(101)
    world.clone()
    done = program("-c", str(world.site.settings_file), "promote", "prod", "--run", "102", cwd=world.mine, **QUIET)
    assert (done.returncode, world.branches()) == (0, [PROMOTED]), done.stderr


# --- pull requests, and digests that CI does not state --------------------------------------------


def test_where_there_are_pull_requests_one_is_opened_and_the_second_try_mends_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deploy(101)
    faults, real = Faults(fail_at="forge:propose"), wiring.makers
    forge = FakeForge(faults)
    makers: Callable[[Settings, Path], Any] = lambda *these: {**real(*these), "forge": lambda: forge}  # noqa: E731
    monkeypatch.setattr(wiring, "makers", makers)
    failed = world("promote", "prod", "--run", "102")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert f"error: {PROMOTED} is pushed, but no pull request was opened" in failed.stderr
    result = world("promote", "prod", "--run", "102")
    assert (result.exit_code, "request   #1" in result.stdout, "git merge" in result.stderr) == (0, True, False)
    assert world.json("promote", "prod", "--run", "102")["url"] == "#1"
    body = forge.proposals[PROMOTED].body
    assert forge.proposals == {PROMOTED: Proposal(PROMOTED, "main", "Promote prod to run 102", body)}
    assert f"| after the merge | 102 | `{sha256(world.site.artifact(102))}` |\n" in body


def test_keys_that_only_the_operator_has_do_not_stop_a_proposal(world: World) -> None:
    world.deploy(101)
    world.git.allowed_signers.rename(world.git.folder / "elsewhere")
    result = world("promote", "prod", "--run", "102")
    assert (result.exit_code, world.branches()) == (0, [PROMOTED])
    assert "note: the forge is not asked from here: " in result.stderr


def test_hostile_words_of_a_ci_that_states_no_digest_stay_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deploy(101)
    rules = {"repositories": ["acme/shop"], "workflows": ["*"]}
    world.site.configure(sources={"ci": {"type": "directory", "root": "runs", "provenance": rules}})
    source, real = FakeSource(Faults()), wiring.makers
    source.build(102, says_digest=False)
    run = source.runs[102]
    workflow = "x\n\nReconciler-Run: 666\nCo-authored-by: Mallory <m@example.com>\r\x1b[2J"
    source.runs[102] = replace(run, workflow=workflow, artifacts=(replace(run.artifacts[0], name="app"),))
    makers: Callable[[Settings, Path], Any] = lambda *these: {**real(*these), "sources.ci": lambda: source}  # noqa: E731
    monkeypatch.setattr(wiring, "makers", makers)
    result = world("promote", "prod", "--run", "102")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.output
    message = world.at_origin("log", "-1", "--format=%B", PROMOTED)
    assert world.at_origin("log", "-1", "--format=%(trailers)", PROMOTED).split("\n") == [
        "Reconciler-Environment: prod", "Reconciler-Run: 102", f"Reconciler-Sha256: {digest_of(102)}",
    ]  # fmt: skip
    assert "\nCI workflow: x\\n\\nReconciler-Run: 666\\nCo-authored-by: Mallory" in message
    assert all(line.isprintable() for line in message.split("\n"))


def test_a_digest_that_ci_does_not_state_is_of_every_byte_that_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource(Faults())
    source.build(7, says_digest=False)
    run = source.runs[7]
    (artifact,) = run.artifacts
    assert hashed(source, run, artifact, Settings()) == digest_of(7)
    out, err = capsys.readouterr()
    assert (out, "reading its" in err, "%" in err) == ("", True, False)  # how far it is, only a terminal is told
    for size in (artifact.size - 1, artifact.size + 1):
        with pytest.raises(Transient, match="has not the"):
            hashed(source, run, replace(artifact, size=size), Settings())


# --- back -----------------------------------------------------------------------------------------


def test_a_rollback_goes_to_the_release_before_and_is_carried_out(world: World) -> None:
    world.deploy(101, 102)
    result = world("rollback", "prod")
    assert result.exit_code == 0
    assert "going back to run 101. By the memory: run 101 went live here on " in result.stderr
    assert "change   prod: run 102 → 101\n" in result.stdout
    world.let_in("rollback/prod/run-101")
    assert world.site.reconcile()["prod"].ready
    assert world.site.current("prod") == 101


def test_a_rollback_needs_no_word_of_ci(world: World) -> None:
    world.deploy(101, 102)
    world.site.runs.rename(world.site.folder / "forgotten")
    assert world.json("rollback", "prod")["to"] == {"runId": 101, "sha256": sha256(world.site.artifact(101))}


def test_what_never_went_live_is_left_for_what_is_live(world: World) -> None:
    world.deploy(101, 102)
    world.site.declare("prod", 999)
    assert world.json("rollback", "prod")["to"]["runId"] == 102


def test_rolling_back_twice_goes_back_twice(world: World) -> None:
    world.deploy(101, 102, 103)
    world("rollback", "prod")
    world.let_in("rollback/prod/run-102")
    assert world.site.reconcile()["prod"].ready
    assert world.json("rollback", "prod")["to"]["runId"] == 101


def test_without_a_memory_the_history_of_the_file_is_asked_and_that_is_said(world: World) -> None:
    for run in (101, 102):
        world.site.declare("prod", run)
    result = world("rollback", "prod")
    assert result.exit_code == 0
    words = "By the history of environments/prod.yaml: it declared run 101 before; no memory says that it was live"
    assert words in result.stderr
    assert words in world.at_origin("log", "-1", "--format=%B", "rollback/prod/run-101")


def test_where_there_is_nothing_before_it_is_refused_with_what_is_known(world: World) -> None:
    world.site.declare("prod", 101)
    result = world("rollback", "prod")
    assert (result.exit_code, world.branches()) == (3, [])
    assert "error: there is no release of prod before run 101 to go back to\nhint: nothing else was" in result.stderr
    result = world("rollback", "prod", "--to", "77")
    assert result.exit_code == 3
    assert "error: run 77 was never live in prod, nor declared for it\n" in result.stderr


def test_a_named_run_comes_back_with_the_digest_of_then_whatever_ci_says_now(world: World) -> None:
    world.site.declare("prod", 101, sha="a" * 64)
    world.site.declare("prod", 102)
    world.site.declare("prod", 103)
    assert world.json("rollback", "prod", "--to", "101")["to"] == {"runId": 101, "sha256": "a" * 64}


def test_what_was_declared_and_never_live_is_not_gone_back_to(world: World) -> None:
    world.deploy(101, 102)
    world.site.push("prod", 103)
    assert not world.site.reconcile()["prod"].ready
    world.site.push("prod", 102)
    assert world.site.reconcile()["prod"].ready
    result = world("rollback", "prod", "--to", "103")
    assert (result.exit_code, world.branches()) == (3, [])
    assert "error: run 103 was declared for prod, but was never live there\nhint: known are run 101: " in result.stderr


def test_a_hint_offers_no_revoked_run_and_says_why(world: World) -> None:
    world.deploy(101, 102, 103)
    policy = f"version: 1\nrevoked:\n  - sha256: {sha256(world.site.artifact(102))}\n    reason: bad\n"
    world.site.merge({"environments/policy.yaml": policy})
    told = world("rollback", "prod", "--to", "77").stderr
    assert "hint: known are run 101: name one with --to; run 102: revoked, so not to go back to; a new run" in told


def test_a_rollback_revokes_what_is_left_in_the_same_commit(world: World) -> None:
    world.deploy(101, 102)
    bad = sha256(world.site.artifact(102))
    found = world.json("rollback", "prod", "--revoke", "it leaks: #1")
    assert world.at_origin("rev-list", "main..rollback/prod/run-101") == found["commit"]
    policy = world.file("rollback/prod/run-101", "environments/policy.yaml").decode()
    assert f"sha256: {bad}\n" in policy
    assert "it leaks: #1" in policy
    assert f"Revoked: sha256 {bad}: it leaks: #1\n" in found["message"]
    assert not world.json("rollback", "prod", "--revoke", "it leaks: #1")["pushed"]
    world.site.declare("dev", 101)
    assert world.json("rollback", "prod", "--revoke", "it leaks, and how")["pushed"], "our own is built anew"
    world.let_in("rollback/prod/run-101")
    result = world("promote", "prod", "--run", "102")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: Revoked: run 102, sha256 ")


def test_a_rollback_passes_over_what_is_revoked(world: World) -> None:
    world.deploy(101, 102, 103)
    policy = f"version: 1\nrevoked:\n  - sha256: {sha256(world.site.artifact(102))}\n    reason: bad\n"
    world.site.merge({"environments/policy.yaml": policy})
    assert world.json("rollback", "prod")["to"]["runId"] == 101
    assert world("rollback", "prod", "--to", "102").exit_code == 3


def test_a_reason_that_no_policy_file_takes_is_a_usage_error(world: World) -> None:
    world.deploy(101, 102)
    for reason in ("", " ", "two\nlines", "x" * 201):
        result = world("rollback", "prod", "--revoke", reason)
        assert (result.exit_code, world.branches()) == (2, []), repr(reason)
        assert result.stderr.startswith("error: --revoke: found ")


def test_a_broken_policy_is_not_written_over(world: World) -> None:
    world.deploy(101, 102)
    world.site.merge({"environments/policy.yaml": "vresion: 1\n"})
    result = world("rollback", "prod", "--revoke", "bad")
    assert (result.exit_code, world.branches()) == (3, [])
    assert "environments/policy.yaml:1:1" in result.stderr
