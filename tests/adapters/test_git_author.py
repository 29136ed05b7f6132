"""Commits in a person's clone: what is made, what is left alone, and how git's no is told. Real git, real keys."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.core.authoring import Kind, Move, Pin, ci_facts, trailers
from reconciler.git.author import AuthorFailed, Clone, Trouble
from reconciler.model import CommitId, Digest, EnvironmentName, RunId
from tests.factories import RUN
from tests.gitworld import Author, GitWorld
from tests.site import snapshot

PROD = "environments/prod.yaml"
BRANCH = "promote/prod/run-102"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitWorld:
    for name, value in {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    return GitWorld(tmp_path / "world")


@pytest.fixture
def alice(world: GitWorld) -> Author:
    return world.person("alice")


@pytest.fixture
def base(world: GitWorld, alice: Author) -> CommitId:
    world.write(PROD, "run: 101\r\n").write("environments/run.sh", "x").write("other", "o")
    world.git("update-index", "--chmod=+x", "environments/run.sh")
    return world.commit(alice, "Begin").push().tip


@pytest.fixture
def mine(world: GitWorld, alice: Author, base: CommitId) -> Path:
    folder = world.folder / "mine"
    world.run("git", "clone", "--quiet", str(world.origin), str(folder))
    assert alice.key
    configured = {
        "user.name": alice.name, "user.email": alice.email, "gpg.format": "ssh",
        "user.signingKey": str(alice.key.private), "commit.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(world.allowed_signers), "core.autocrlf": "true",
    }  # fmt: skip
    for key, value in configured.items():
        world.run("git", "config", key, value, cwd=folder)
    return folder


@pytest.fixture
def clone(mine: Path) -> Clone:
    return Clone(mine, "origin", Bounds())


def at_origin(world: GitWorld, name: str = BRANCH) -> str:
    found = world.run("git", "for-each-ref", "--format=%(objectname)", f"refs/heads/{name}", cwd=world.origin)
    return found.decode().strip()


def own(mine: Path) -> dict[str, tuple[int, ...]]:
    """All in a clone but objects, and what git remembers of remotes."""
    theirs = (".git/objects", ".git/refs/remotes", ".git/logs/refs/remotes", ".git/packed-refs")
    found = {path: value for path, value in snapshot(mine).items() if not path.startswith(theirs)}
    return {path: value for path, value in found.items() if (mine / path).is_file()}


def commit(clone: Clone, base: CommitId, files: dict[str, bytes], message: str = "Bump\n") -> CommitId:
    return clone.commit_tree(base, clone.write_tree(base, files), message, sign=clone.signs())


def test_a_commit_changes_just_the_given_files_and_keeps_their_modes_and_line_ends(
    world: GitWorld, clone: Clone, base: CommitId
) -> None:
    made = commit(clone, base, {PROD: b"run: 102\r\n", "environments/run.sh": b"y", "environments/new.yaml": b"n"})
    clone.push(made, BRANCH, None)
    assert at_origin(world) == made
    listing = world.run("git", "ls-tree", "-r", made, cwd=world.origin).decode().splitlines()
    assert [(line.split()[0], line.split("\t")[1]) for line in listing] == [
        ("100644", "environments/new.yaml"), ("100644", PROD), ("100755", "environments/run.sh"), ("100644", "other"),
    ]  # fmt: skip
    assert world.run("git", "cat-file", "blob", f"{made}:{PROD}", cwd=world.origin) == b"run: 102\r\n"
    assert clone.commit(made).parents == (base,)
    assert clone.changed(clone.commit(made)) == {PROD, "environments/run.sh", "environments/new.yaml"}


def test_a_commit_is_signed_with_the_persons_key_when_they_sign(world: GitWorld, clone: Clone, base: CommitId) -> None:
    made = commit(clone, base, {PROD: b"x"})
    said = world.run("git", "log", "-1", "--format=%G? %GS %an <%ae>", made, cwd=world.folder / "mine").decode()
    assert said == "G alice@example.com Alice <alice@example.com>\n"
    world.run("git", "config", "commit.gpgSign", "false", cwd=world.folder / "mine")
    assert not clone.signs()
    assert clone.commit(commit(clone, base, {PROD: b"x"})).signature is None


def test_work_tree_index_and_head_stay_as_they_are_however_dirty(mine: Path, clone: Clone, base: CommitId) -> None:
    (mine / PROD).write_text("half done")
    (mine / "untracked").write_text("mine")
    subprocess.run(["git", "rm", "--cached", "--quiet", "other"], cwd=mine, check=True)
    before = own(mine)
    clone.fetch("main")
    clone.push(commit(clone, base, {PROD: b"x"}), BRANCH, None)
    assert own(mine) == before
    assert not (mine / ".git" / "FETCH_HEAD").exists()
    assert not list((mine / ".git").glob("sharedindex*"))


def test_a_branch_is_read_as_the_remote_has_it_now(
    world: GitWorld, alice: Author, clone: Clone, base: CommitId
) -> None:
    assert clone.fetch("main") == base
    assert clone.fetch("promote/nobody") is None
    world.git("tag", "main", base)
    world.git("push", "--quiet", "origin", "refs/tags/main")
    newer = world.write(PROD, "newer").commit(alice, "More").tip
    world.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    assert clone.fetch("main") == newer
    entry = clone.tree(newer, "environments")["prod.yaml"]
    assert clone.read([entry]) == {entry.blob: b"newer"}


def test_a_subfolder_will_do_and_so_will_a_bare_clone(world: GitWorld, mine: Path, base: CommitId) -> None:
    (mine / "deep" / "er").mkdir(parents=True)
    assert "prod.yaml" in Clone(mine / "deep" / "er", "origin", Bounds()).tree(base, "environments")
    world.run("git", "clone", "--quiet", "--bare", str(world.origin), str(world.folder / "bare.git"))
    assert Clone(world.folder / "bare.git", "origin", Bounds()).fetch("main") == base


def test_versions_are_those_of_the_first_parents_newest_first(
    world: GitWorld, alice: Author, clone: Clone, base: CommitId
) -> None:
    world.branch("side").write(PROD, "draft").commit(alice, "Draft").write(PROD, "run: 102").commit(alice, "Done")
    tip = world.merge("side", signer=alice).push().tip
    assert clone.fetch("main") == tip
    assert clone.versions(tip, PROD) == [b"run: 102", b"run: 101\r\n"]


def test_a_branch_that_somebody_moved_meanwhile_is_left_to_them(
    world: GitWorld, alice: Author, clone: Clone, base: CommitId
) -> None:
    theirs = world.branch("x").write(PROD, "theirs").commit(alice, "Theirs").tip
    world.git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")
    made = commit(clone, base, {PROD: b"x"})
    for expected in (None, base):
        with pytest.raises(AuthorFailed, match="somebody moved promote/prod/run-102") as failed:
            clone.push(made, BRANCH, expected)
        assert failed.value.trouble is Trouble.MOVED
    assert at_origin(world) == theirs
    clone.push(made, BRANCH, theirs)
    assert at_origin(world) == made


@pytest.mark.parametrize("key", ["user.name", "user.email"])
def test_nobody_commits_without_saying_who_they_are(
    world: GitWorld, mine: Path, clone: Clone, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("git", "config", "--unset", key, cwd=mine)
    world.run("git", "config", "user.useConfigOnly", "true", cwd=mine)
    monkeypatch.setenv("HOME", str(world.folder / "home"))
    with pytest.raises(AuthorFailed, match="git does not know who you are") as failed:
        clone.identify()
    assert failed.value.trouble is Trouble.IDENTITY
    assert "git config user.name" in failed.value.hint or key == "user.name"


def test_a_key_that_is_not_there_is_told_with_its_hint(
    world: GitWorld, mine: Path, clone: Clone, base: CommitId
) -> None:
    world.run("git", "config", "user.signingKey", "/nowhere/key", cwd=mine)
    with pytest.raises(AuthorFailed, match="could not sign the commit") as failed:
        commit(clone, base, {PROD: b"x"})
    assert "user.signingkey" in failed.value.hint


def test_what_the_remote_refuses_is_told_in_its_words(world: GitWorld, clone: Clone, base: CommitId) -> None:
    hook = world.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only robots push here' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(AuthorFailed, match=r"pre-receive hook declined.*only robots push here"):
        clone.push(commit(clone, base, {PROD: b"x"}), BRANCH, None)
    assert at_origin(world) == ""


def test_a_remote_that_wants_a_password_is_told_without_one(world: GitWorld, mine: Path, base: CommitId) -> None:
    with world.serve("alice:hunter2") as url:
        world.run("git", "config", "remote.origin.url", url.replace("://", "://alice:wrong@"), cwd=mine)
        with pytest.raises(AuthorFailed) as failed:
            Clone(mine, "origin", Bounds()).fetch("main")
    assert failed.value.trouble is Trouble.CREDENTIALS
    assert "wrong" not in failed.value.message


def test_a_server_that_hangs_is_left_at_the_deadline(world: GitWorld, mine: Path, base: CommitId) -> None:
    world.run("git", "config", "remote.origin.uploadpack", "sleep 100; true", cwd=mine)
    with pytest.raises(AuthorFailed, match=r"git ls-remote did not end within 0\.2 s"):
        Clone(mine, "origin", Bounds(git_seconds=0.2)).fetch("main")


def test_a_folder_without_a_clone_and_a_remote_that_is_none_are_told(mine: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AuthorFailed, match="is in no git repository") as failed:
            Clone(folder, "origin", Bounds())
        assert failed.value.trouble is Trouble.NO_CLONE
    with pytest.raises(AuthorFailed, match="has no remote '--upload-pack=x'; it has: origin"):
        Clone(mine, "--upload-pack=x", Bounds())


def test_git_reads_the_very_trailers_out_of_a_message_with_hostile_evidence(world: GitWorld, base: CommitId) -> None:
    hostile = "b.yml\n\nReconciler-Run: 666\nSigned-off-by: x\r\x1b[2J"
    pins = Pin(RunId(101), Digest("a" * 64)), Pin(RunId(102), Digest("b" * 64))
    facts = ci_facts(replace(RUN, workflow=hostile), "x")
    message = Move(Kind.PROMOTE, EnvironmentName("prod"), *pins, facts).message
    read = world.git("interpret-trailers", "--parse", stdin=message.encode())
    assert read.splitlines() == [
        "Reconciler-Environment: prod", "Reconciler-Run: 102", f"Reconciler-Sha256: {'b' * 64}",
    ]  # fmt: skip
    assert trailers(message) is not None


def test_variables_that_point_elsewhere_are_not_followed(
    mine: Path, tmp_path: Path, base: CommitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    clone = Clone(mine, "origin", Bounds())
    assert clone.fetch("main") == base
    commit(clone, base, {PROD: b"x"})
    assert not (tmp_path / "index").exists()
