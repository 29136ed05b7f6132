"""Branches that the daemon makes itself: one commit, on a branch that was not there, and nothing else. Real git."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from reconciler.git import Mirror
from reconciler.git.branches import IDENTITY, Branches, Edit
from reconciler.model import CommitId
from tests.factories import NOON
from tests.gitworld import Author, GitWorld
from tests.site import snapshot

ALICE = Author("Alice", "alice@example.com")
PROD = "environments/shop/prod.yaml"
BRANCH = "reconciler/revert/shop/prod-102-bbbbbbbbbbbb"
BACK = Edit(PROD, b"run: 101\r\n", "100644")
MESSAGE = "Revert shop/prod\n\nWhy.\n"


class Stage:
    """An origin with a mirror of it, and who makes branches there."""

    def __init__(self, folder: Path, object_format: str = "sha1") -> None:
        self.world = GitWorld(folder / "world", object_format=object_format)
        self.state = folder / "state"
        self.world.write(PROD, "run: 102\n").write("other", "o").write("tools/x.sh", "x").commit(ALICE, "Begin").push()
        self.mirror = Mirror(self.world.url, "main", "environments", self.state / "git", Bounds(), lambda _: None)
        self.tip = self.fetched()
        self.branches = self.made(self.world.url)

    def made(self, url: str) -> Branches:
        folders = self.state / "git", self.state / "reverts"
        return Branches(url, "main", *folders, Bounds(git_seconds=20), lambda _: None)

    def fetched(self) -> CommitId:
        tip = self.mirror.head()
        assert tip
        self.mirror.fetch(tip)
        return tip

    def origin(self, *arguments: str) -> str:
        return self.world.run("git", *arguments, cwd=self.world.origin).decode()

    def refs(self) -> dict[str, str]:
        lines = self.origin("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split() for line in lines)

    def push(self, edit: Edit = BACK, branch: str = BRANCH) -> CommitId:
        return self.branches.push(branch, self.tip, edit, MESSAGE, NOON)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_branch_is_one_commit_on_the_base_that_changes_just_the_file(tmp_path: Path, object_format: str) -> None:
    stage = Stage(tmp_path, object_format)
    made = stage.push()
    assert stage.refs() == {"refs/heads/main": stage.tip, f"refs/heads/{BRANCH}": made}
    assert stage.origin("rev-list", f"main..{BRANCH}") == f"{made}\n"
    assert stage.origin("diff", "--name-only", "main", BRANCH) == f"{PROD}\n"
    assert stage.origin("cat-file", "blob", f"{made}:{PROD}") == "run: 101\r\n"
    said = stage.origin("show", "-s", "--format=%an <%ae>|%cn <%ce>|%at|%P|%B", made)
    assert said == f"{IDENTITY}|{IDENTITY}|{int(NOON.timestamp())}|{stage.tip}|{MESSAGE}\n"
    stage.origin("fsck", "--strict")


def test_the_mode_comes_with_the_content(stage: Stage) -> None:
    made = stage.push(replace(BACK, mode="100755"))
    assert stage.origin("ls-tree", made, PROD).startswith("100755 blob ")
    with pytest.raises(ValueError, match="120000 is no mode of a file"):
        stage.push(replace(BACK, mode="120000"), "other")


def test_nothing_is_left_behind_and_the_mirror_stays_as_it_is(stage: Stage) -> None:
    (left := stage.state / "reverts" / ".branch-killed" / "objects").mkdir(parents=True)
    before = snapshot(stage.state / "git")
    stage.push()
    assert snapshot(stage.state / "git") == before
    assert not left.parent.exists()
    assert list((stage.state / "reverts").iterdir()) == []


@pytest.mark.parametrize("whose", ["behind us, so that git would move it forward", "elsewhere"])
def test_a_branch_that_is_there_is_never_moved(stage: Stage, whose: str) -> None:
    theirs = stage.tip if whose != "elsewhere" else stage.world.branch("x").write(PROD, "mine").commit(ALICE, "x").tip
    stage.world.git("push", "--quiet", "origin", f"{theirs}:refs/heads/{BRANCH}")
    with pytest.raises(Transient, match="was made by somebody else just now; nothing was pushed") as refused:
        stage.push()
    assert refused.value.reason is Reason.REPOSITORY_UNAVAILABLE
    assert stage.refs()[f"refs/heads/{BRANCH}"] == theirs


def test_the_tracked_branch_is_never_pushed_to(stage: Stage) -> None:
    with pytest.raises(Terminal, match="the tracked branch main is never pushed to"):
        stage.push(branch="main")
    assert stage.refs() == {"refs/heads/main": stage.tip}


def test_a_server_that_refuses_is_told_with_its_words(stage: Stage) -> None:
    hook = stage.world.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'error: GH013: rule violations found' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Transient, match=r"could not be pushed: .*GH013: rule violations found") as refused:
        stage.push()
    assert refused.value.hint == "see what the remote's rules for branches are"
    assert stage.refs() == {"refs/heads/main": stage.tip}


def test_who_may_read_and_not_push_is_told_which_right_is_missing(stage: Stage) -> None:
    with stage.world.serve("daemon:s3cret") as address:  # git's own server lets nobody push unless it is told to
        url = address.replace("http://", "http://daemon:s3cret@")
        mirror = Mirror(url, "main", "environments", stage.state / "git", Bounds(), lambda _: None)
        mirror.fetch(stage.tip)
        with pytest.raises(Transient, match="may not be pushed: ") as refused:
            stage.made(url).push(BRANCH, stage.tip, BACK, MESSAGE, NOON)
    assert "repository.reverts needs the right to push branches" in refused.value.hint
    assert "s3cret" not in str(refused.value) + refused.value.hint


def test_a_check_tells_whether_branches_may_be_pushed_and_makes_none(stage: Stage) -> None:
    with stage.world.serve("daemon:s3cret") as address:
        url = address.replace("http://", "http://daemon:s3cret@")
        with pytest.raises(Transient, match="the branch reconciler/revert/check may not be pushed"):
            stage.made(url).check()
        stage.world.run("git", "config", "http.receivepack", "true", cwd=stage.world.origin)
        assert stage.made(url).check() == f"{address} lets us push branches"
    assert stage.refs() == {"refs/heads/main": stage.tip}


def test_a_check_needs_no_mirror_and_says_what_is_missing(stage: Stage, tmp_path: Path) -> None:
    folders = tmp_path / "fresh" / "git", tmp_path / "fresh" / "reverts"
    fresh = Branches(stage.world.url, "main", *folders, Bounds(), lambda _: None)
    assert fresh.check() == f"{stage.world.url} lets us push branches"
    assert not folders[0].exists()
    with pytest.raises(Transient, match="there is no branch trunk"):
        Branches(stage.world.url, "trunk", *folders, Bounds(), lambda _: None).check()


def test_credentials_of_the_address_push_over_http(stage: Stage) -> None:
    stage.world.run("git", "config", "http.receivepack", "true", cwd=stage.world.origin)
    with stage.world.serve("daemon:s3cret") as address:
        url = address.replace("http://", "http://daemon:s3cret@")
        mirror = Mirror(url, "main", "environments", stage.state / "git", Bounds(), lambda _: None)
        mirror.fetch(stage.tip)
        made = stage.made(url).push(BRANCH, stage.tip, BACK, MESSAGE, NOON)
    assert stage.refs()[f"refs/heads/{BRANCH}"] == made


def test_a_commit_carries_an_edit_when_it_is_just_that_on_its_base(stage: Stage) -> None:
    made = stage.push()
    stage.mirror.retrieve(made, f"refs/heads/{BRANCH}")
    assert stage.branches.carries(made, stage.tip, BACK)
    assert not stage.branches.carries(made, stage.tip, replace(BACK, data=b"run: 100\n"))
    assert not stage.branches.carries(made, stage.tip, replace(BACK, mode="100755"))
    stage.world.branch("more", stage.tip).write(PROD, b"run: 101\r\n").write("tools/x.sh", "rm -rf /").commit(
        ALICE, "x"
    )
    more = stage.world.tip
    stage.world.git("push", "--quiet", "origin", "more")
    stage.mirror.retrieve(more, "refs/heads/more")
    assert not stage.branches.carries(more, stage.tip, BACK)


def test_a_base_that_the_mirror_does_not_hold_is_a_fault_and_pushes_nothing(stage: Stage) -> None:
    with pytest.raises(Transient):
        stage.branches.push(BRANCH, CommitId("1" * 40), BACK, MESSAGE, NOON)
    assert stage.refs() == {"refs/heads/main": stage.tip}
