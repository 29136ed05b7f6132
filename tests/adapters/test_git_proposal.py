"""A proposed merge: the same each time, moving nothing, and running nothing that a clone or a commit brings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.git import Mirror, local
from reconciler.model import CommitId
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
DEV, PROD = "environments/dev.yaml", "environments/prod.yaml"


class Stage:
    """An origin, a mirror of it, and the working clone with a branch that nobody pushed."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.clone = self.world.work / ".git"
        self.mirror = Mirror(self.world.url, "main", "environments", folder / "state", Bounds(), lambda _: None)
        self.world.write(DEV, "1").write(PROD, "1").commit(ALICE, "one").push()
        self.base = self.follow()

    def follow(self) -> CommitId:
        """What a poll does."""
        tip = self.mirror.head()
        assert tip is not None
        self.mirror.fetch(tip)
        return tip

    def branch(self, name: str, path: str, text: str) -> CommitId:
        """A branch with one commit, in the clone alone."""
        return self.world.switch("main").branch(name).write(path, text).commit(ALICE, name).tip

    def read(self, commit: CommitId, name: str) -> bytes | None:
        """A file of a commit, through the mirror."""
        blob = self.mirror.tree(commit)[name].blob
        return self.mirror.read_blobs([blob], 1000)[blob]

    @property
    def disk(self) -> Path:
        """The bare repository."""
        return self.mirror._local.path

    def references(self) -> bytes:
        """Every reference of the mirror."""
        return self.world.run("git", f"--git-dir={self.disk}", "for-each-ref")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_proposal_has_the_branch_s_changes_and_those_that_came_to_the_base_meanwhile(stage: Stage) -> None:
    head = stage.branch("bump", DEV, "2")
    stage.world.switch("main").write(PROD, "2").commit(ALICE, "meanwhile").push()
    base = stage.follow()
    proposal = stage.mirror.proposal(base, head, stage.clone)
    assert (stage.read(proposal, "dev.yaml"), stage.read(proposal, "prod.yaml")) == (b"2", b"2")
    assert stage.mirror.changed_paths(base, proposal) == {"dev.yaml"}
    assert stage.mirror.commit(proposal).parents == (base, head)


def test_it_is_the_same_commit_whoever_asks_and_whenever(stage: Stage, tmp_path: Path) -> None:
    head = stage.branch("bump", DEV, "2")
    first = stage.mirror.proposal(stage.base, head, stage.clone)
    other = Mirror(stage.world.url, "main", "environments", tmp_path / "other", Bounds(), lambda _: None)
    other.fetch(stage.base)
    assert stage.mirror.proposal(stage.base, head, stage.clone) == first
    assert other.proposal(stage.base, head, stage.clone) == first
    identity = b"reconciler plan <plan@reconciler.invalid> 0 +0000"
    assert stage.mirror.commit(first).payload.endswith(
        b"\nauthor %b\ncommitter %b\n\nMerge %b\n" % (identity, identity, head.encode())
    )


def test_no_reference_moves_and_the_mirror_still_follows_the_branch(stage: Stage) -> None:
    head = stage.branch("bump", DEV, "2")
    before = stage.references()
    stage.mirror.proposal(stage.base, head, stage.clone)
    assert stage.references() == before
    tip = stage.world.switch("main").write(PROD, "3").commit(ALICE, "later").push().tip
    assert stage.follow() == tip
    assert not stage.mirror.is_ancestor(head, tip)


def test_asking_again_fetches_no_further_pack(stage: Stage) -> None:
    head = stage.branch("bump", DEV, "2")
    stage.mirror.proposal(stage.base, head, stage.clone)
    packs = sorted((stage.disk / "objects" / "pack").iterdir())
    stage.mirror.proposal(stage.base, head, stage.clone)
    assert sorted((stage.disk / "objects" / "pack").iterdir()) == packs


def test_a_branch_that_was_merged_already_changes_nothing(stage: Stage) -> None:
    tip = stage.world.write(DEV, "2").commit(ALICE, "two").push().tip
    stage.follow()
    assert stage.mirror.proposal(tip, stage.base, stage.clone) == tip


def test_a_conflict_names_the_files_and_what_to_do(stage: Stage) -> None:
    head = stage.branch("bump", DEV, "2")
    stage.world.switch("main").write(DEV, "3").commit(ALICE, "meanwhile").push()
    with pytest.raises(PolicyDenied) as denied:
        stage.mirror.proposal(stage.follow(), head, stage.clone)
    assert denied.value.reason is Reason.APPROVAL_STALE
    assert "without a conflict in environments/dev.yaml" in denied.value.message
    assert "bring the branch up to date" in denied.value.hint


def test_a_hostile_file_name_in_a_conflict_is_spelled_out_and_many_are_counted(stage: Stage) -> None:
    names = [f"x\x1b[31m{n:02}" for n in range(13)]
    for name in names:
        stage.world.write(name, "1")
    stage.world.commit(ALICE, "many").push()
    stage.world.branch("bump")
    for name in names:
        stage.world.write(name, "2")
    head = stage.world.commit(ALICE, "bump").tip
    stage.world.switch("main")
    for name in names:
        stage.world.write(name, "3")
    stage.world.commit(ALICE, "meanwhile").push()
    with pytest.raises(PolicyDenied) as denied:
        stage.mirror.proposal(stage.follow(), head, stage.clone)
    assert "\x1b" not in denied.value.message
    assert "x\\x1b[31m00" in denied.value.message
    assert denied.value.message.endswith("and 3 more")


def test_histories_that_have_nothing_in_common_do_not_merge(stage: Stage) -> None:
    head = stage.world.orphan("other").write("x", "x").commit(ALICE, "other").tip
    with pytest.raises(PolicyDenied, match="no history in common"):
        stage.mirror.proposal(stage.base, head, stage.clone)


@pytest.mark.parametrize("name", ["0123456789" * 4, "HEAD", "--all", ""])
def test_a_commit_that_the_clone_does_not_hold_or_that_is_none(stage: Stage, name: str) -> None:
    with pytest.raises(Transient) as caught:
        stage.mirror.proposal(stage.base, CommitId(name), stage.clone)
    assert caught.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_a_clone_that_is_none_is_named(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(Transient, match=str(tmp_path / "nowhere")):
        stage.mirror.proposal(stage.base, CommitId("0123456789" * 4), tmp_path / "nowhere")


def test_a_shallow_clone_that_lacks_history_is_told_to_fetch_it(stage: Stage, tmp_path: Path) -> None:
    stage.branch("bump", DEV, "2")
    head = stage.world.write(DEV, "3").commit(ALICE, "three").tip
    stage.world.run("git", "clone", "-q", "--depth=1", "--branch=bump", f"file://{stage.world.work}", "s", cwd=tmp_path)
    with pytest.raises(Transient) as caught:
        stage.mirror.proposal(stage.base, head, tmp_path / "s" / ".git")
    assert "--unshallow" in caught.value.hint


def test_nothing_that_the_clone_configures_is_run(stage: Stage, tmp_path: Path) -> None:
    head = stage.branch("bump", DEV, "2")
    ran = tmp_path / "ran"
    program = tmp_path / "evil"
    program.write_text(f'#!/bin/sh\ntouch {ran}\nexec git upload-pack "$@"\n')
    program.chmod(0o755)
    for hook in ("reference-transaction", "post-checkout", "pre-receive", "post-merge"):
        (stage.clone / "hooks").mkdir(exist_ok=True)
        (stage.clone / "hooks" / hook).symlink_to(program)
    for key in ("uploadpack.packObjectsHook", "core.fsmonitor", "core.sshCommand", "merge.default"):
        stage.world.git("config", key, str(program))
    stage.mirror.proposal(stage.base, head, stage.clone)
    assert not ran.exists()


def test_a_clone_that_lacks_objects_is_not_sent_to_fetch_them(stage: Stage, tmp_path: Path) -> None:
    """A partial clone fetches lazily, from wherever and with whatever program its configuration names."""
    head = stage.branch("bump", DEV, "a content that is nowhere else")
    ran, program = tmp_path / "ran", tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    blob = stage.world.rev(f"{head}:{DEV}")
    (stage.clone / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", str(program)),
    ):
        stage.world.git("config", key, value)
    with pytest.raises(Transient):
        stage.mirror.proposal(stage.base, head, stage.clone)
    assert not ran.exists()


def test_attributes_of_the_commits_choose_no_program_and_no_way_to_merge(stage: Stage, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    stage.world.write(".gitattributes", "* merge=union\n").commit(ALICE, "attributes").push()
    head = stage.branch("bump", DEV, "2")
    stage.world.switch("main").write(DEV, "3").commit(ALICE, "meanwhile").push()
    stage.world.git("config", "merge.union.driver", f"touch {ran}")
    with pytest.raises(PolicyDenied, match="conflict"):
        stage.mirror.proposal(stage.follow(), head, stage.clone)
    assert not ran.exists()


def test_what_proposals_leave_goes_after_a_while_and_not_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PACKS", 1)
    proposals = [
        stage.mirror.proposal(stage.base, stage.branch(f"b{n}", DEV, f"text {n}"), stage.clone) for n in range(4)
    ]
    assert all(stage.read(proposal, "dev.yaml") == b"text %d" % n for n, proposal in enumerate(proposals))
    for path in (stage.disk / "objects").rglob("*"):
        if path.is_file():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    for n in (5, 6):
        stage.mirror.proposal(stage.base, stage.branch(f"b{n}", DEV, f"text {n}"), stage.clone)
    listing = stage.world.run("git", f"--git-dir={stage.disk}", "cat-file", "--batch-check", "--batch-all-objects")
    assert not any(proposal.encode() in listing for proposal in proposals)
    assert stage.base.encode() in listing
    assert stage.read(stage.base, "dev.yaml") == b"1"
