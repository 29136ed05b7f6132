"""What the branch does not hold: what it costs, how long it stays, and what a remote may say instead."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.git import Mirror, beyond, local
from reconciler.model import CommitId
from tests.adapters.test_git_attacks import _assert_no_process_mentions, server
from tests.adapters.test_git_mirror import DAMAGE
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
DEV = "environments/dev.yaml"
REF = "refs/pull/1/head"


class Stage:
    """An origin with a pull request, a mirror of its branch, and the git processes that the mirror started."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.state = folder / "state"
        self.steps: list[str] = []
        self.mirror = self.open()
        self.base = self.world.write(DEV, "1").commit(ALICE, "one").push().tip
        self.head = self.request(1, "two")
        self.follow()

    def open(self, **bounds: float) -> Mirror:
        """Another mirror on the same state, as after a restart."""
        limits = Bounds.model_validate(bounds)
        return Mirror(self.world.url, "main", "environments", self.state, limits, self.steps.append)

    def follow(self) -> None:
        """What a poll does."""
        tip = self.mirror.head()
        assert tip is not None
        self.mirror.fetch(tip)

    def request(self, number: int, text: str) -> CommitId:
        """A pull request of one commit."""
        head = self.world.switch("main").branch(f"r{number}").write(DEV, text).commit(ALICE, text).tip
        self.world.git("push", "--quiet", "origin", f"HEAD:refs/pull/{number}/head")
        return head

    def point(self, ref: str, to: str) -> None:
        """Have the origin say of a reference what nobody could push."""
        place = self.world.origin / ref
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{to}\n")

    def read(self, commit: CommitId) -> bytes | None:
        """The declaration at a commit."""
        blob = self.mirror.tree(commit)["dev.yaml"].blob
        return self.mirror.read_blobs([blob], 1000)[blob]

    def network(self) -> list[str]:
        """The processes since the last call that talk to the remote."""
        steps = [step for step in self.steps if step in ("git fetch", "git ls-remote")]
        self.steps.clear()
        return steps

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


# --- cost, and how long it stays ----------------------------------------------------------------


def test_what_was_retrieved_costs_no_network_again_also_after_a_restart(stage: Stage) -> None:
    stage.network()
    stage.mirror.retrieve(stage.head, REF)
    assert stage.network() == ["git fetch"]
    shutil.rmtree(stage.world.origin)
    stage.mirror.retrieve(stage.head, REF)
    stage.open().retrieve(stage.head, REF)
    assert stage.network() == []
    assert stage.read(stage.head) == b"two"


def test_several_threads_that_want_the_same_commit_fetch_it_once(stage: Stage) -> None:
    stage.network()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: stage.mirror.retrieve(stage.head, REF), range(4)))
    assert stage.network() == ["git fetch"]


def test_what_is_there_needs_nobodys_leave(stage: Stage) -> None:
    stage.mirror.retrieve(stage.head, REF)
    lock = os.open(stage.disk.parent / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    stage.open(git_seconds=0.1).retrieve(stage.head, REF)
    os.close(lock)


def test_no_reference_moves_and_the_mirror_still_follows_the_branch(stage: Stage) -> None:
    before = stage.references()
    stage.mirror.retrieve(stage.head, REF)
    assert stage.references() == before
    tip = stage.world.switch("main").write(DEV, "3").commit(ALICE, "later").push().tip
    stage.follow()
    assert stage.read(tip) == b"3"
    assert not stage.mirror.is_ancestor(stage.head, tip)


def test_what_was_retrieved_goes_after_a_while_and_not_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PACKS", 1)
    heads = {number: stage.request(number, f"text {number}") for number in range(2, 5)}
    for number, head in heads.items():
        stage.mirror.retrieve(head, f"refs/pull/{number}/head")
    assert all(stage.read(head) == b"text %d" % number for number, head in heads.items())
    for path in (stage.disk / "objects").rglob("*"):
        if path.is_file():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    for number in (5, 6):
        stage.mirror.retrieve(stage.request(number, f"text {number}"), f"refs/pull/{number}/head")
    listing = stage.world.run("git", f"--git-dir={stage.disk}", "cat-file", "--batch-check", "--batch-all-objects")
    assert not any(head.encode() in listing for head in heads.values())
    assert stage.read(stage.base) == b"1"
    stage.mirror = stage.open()
    stage.mirror.retrieve(heads[2], "refs/pull/2/head")
    assert stage.read(heads[2]) == b"text 2"


def test_a_commit_whose_files_are_gone_is_brought_whole(stage: Stage) -> None:
    stage.mirror.retrieve(stage.head, REF)
    pack = max((stage.disk / "objects/pack").glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)
    loose = pack.read_bytes()
    for path in (stage.disk / "objects/pack").glob(f"{pack.stem}.*"):
        path.unlink()
    stage.world.run("git", f"--git-dir={stage.disk}", "unpack-objects", "-q", stdin=loose)
    blob = stage.world.rev(f"{stage.head}:{DEV}")
    (stage.disk / "objects" / blob[:2] / blob[2:]).unlink()
    stage.mirror = stage.open()
    stage.mirror.retrieve(stage.head, REF)
    assert stage.read(stage.head) == b"two"


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_broken_mirror_is_made_anew_and_the_commit_brought_again(
    stage: Stage, damage: Callable[[Path], object]
) -> None:
    stage.mirror.retrieve(stage.head, REF)
    damage(stage.disk)
    stage.mirror = stage.open()
    stage.mirror.retrieve(stage.head, REF)
    assert (stage.read(stage.head), stage.read(stage.base)) == (b"two", b"1")


def test_a_mirror_that_was_made_anew_is_told_by_the_read_and_mended_by_the_next_retrieve(stage: Stage) -> None:
    stage.mirror.retrieve(stage.head, REF)
    stage.mirror._replace(stage.base)
    with pytest.raises(Transient, match="nor retrieved"):
        stage.mirror.tree(stage.head)
    stage.mirror.retrieve(stage.head, REF)
    assert stage.read(stage.head) == b"two"


def test_a_mirror_that_is_not_there_is_made_as_often_as_need_be(stage: Stage) -> None:
    for _ in range(2):
        shutil.rmtree(stage.state)
        stage.mirror.retrieve(stage.head, REF)
    assert (stage.read(stage.head), stage.read(stage.base)) == (b"two", b"1")


# --- what a remote may say instead --------------------------------------------------------------


@pytest.mark.parametrize("name", ["refs/heads/refs/pull/9/head", "refs/tags/refs/pull/9/head", "refs/refs/pull/9/head"])
def test_a_longer_name_that_ends_like_one_that_is_gone_does_not_stand_for_it(stage: Stage, name: str) -> None:
    stage.point(name, stage.head)
    with pytest.raises(Transient, match="there is no refs/pull/9/head"):
        stage.mirror.retrieve(stage.head, "refs/pull/9/head")


@pytest.mark.parametrize("ref", ["refs/heads/x", "refs/tags/x", "refs/remotes/x/y", "refs/merge-requests/1/head"])
def test_any_kind_of_reference_will_do(stage: Stage, ref: str) -> None:
    stage.point(ref, stage.head)
    stage.mirror.retrieve(stage.head, ref)
    assert stage.read(stage.head) == b"two"


def test_a_reference_that_is_gone_costs_one_fetch_and_no_new_mirror(stage: Stage) -> None:
    stage.network()
    with pytest.raises(Transient, match="there is no refs/pull/9/head"):
        stage.mirror.retrieve(stage.head, "refs/pull/9/head")
    assert stage.network() == ["git fetch"]


def test_a_reference_that_was_rewritten_is_named_with_what_it_is_now(stage: Stage) -> None:
    other = stage.world.switch("main").branch("other").write(DEV, "x").commit(ALICE, "other").tip
    stage.world.git("push", "--quiet", "--force", "origin", f"HEAD:{REF}")
    with pytest.raises(Transient) as failed:
        stage.mirror.retrieve(stage.head, REF)
    assert f"{REF} is at {other} now" in failed.value.message
    assert "rewritten" in failed.value.hint


def test_a_reference_to_a_file_or_to_nothing_holds_no_commit(stage: Stage) -> None:
    stage.point("refs/pull/7/head", stage.world.rev(f"{stage.head}:{DEV}"))
    stage.point("refs/pull/8/head", "0123456789" * 4)
    for number in (7, 8):
        with pytest.raises(Transient) as failed:
            stage.mirror.retrieve(stage.head, f"refs/pull/{number}/head")
        assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_a_remote_that_lacks_part_of_what_it_offers_gives_nothing_and_costs_one_new_mirror(stage: Stage) -> None:
    blob = stage.world.rev(f"{stage.head}:{DEV}")
    (stage.world.origin / "objects" / blob[:2] / blob[2:]).unlink()
    stage.network()
    with pytest.raises(Transient):
        stage.mirror.retrieve(stage.head, REF)
    assert stage.network() == ["git fetch"] * 3
    with pytest.raises(Transient):
        stage.mirror.retrieve(stage.head, REF)
    assert stage.network() == ["git fetch"]
    assert stage.read(stage.base) == b"1"


def test_a_remote_that_has_no_whole_history_gives_none(stage: Stage) -> None:
    head = stage.world.write(DEV, "3").commit(ALICE, "three").tip
    stage.world.git("push", "--quiet", "origin", f"HEAD:{REF}")
    (stage.world.origin / "shallow").write_text(f"{head}\n")
    with pytest.raises(Transient, match="not all of its history"):
        stage.mirror.retrieve(head, REF)
    assert stage.read(stage.base) == b"1"


def test_a_remote_that_is_down_costs_nothing_that_is_there(stage: Stage) -> None:
    stage.world.origin.rename(stage.world.origin.with_name("away"))
    with pytest.raises(Transient):
        stage.mirror.retrieve(stage.head, REF)
    assert stage.read(stage.base) == b"1"
    stage.world.origin.with_name("away").rename(stage.world.origin)
    stage.mirror.retrieve(stage.head, REF)


def test_a_remote_that_hangs_costs_the_deadline_and_leaves_no_process(stage: Stage) -> None:
    os.mkfifo(stage.world.origin / "packed-refs")
    hurried = stage.open(git_seconds=0.5)
    stage.network()
    for ask in (lambda: hurried.retrieve(stage.head, REF), lambda: hurried.references("refs/pull/*/head")):
        with pytest.raises(Transient, match="did not end within"):
            ask()
    assert stage.network() == ["git fetch", "git ls-remote"]
    _assert_no_process_mentions(stage.world.url)
    assert stage.read(stage.base) == b"1"


@pytest.mark.parametrize("name", ["HEAD", "--all", "", "0123456789", "0123456789" * 4 + "\n"])
def test_what_is_no_name_of_a_commit_is_not_asked_for(stage: Stage, name: str) -> None:
    stage.network()
    for ask in (
        lambda: stage.mirror.retrieve(CommitId(name), REF),
        lambda: stage.mirror.proposal(stage.base, CommitId(name)),
    ):
        with pytest.raises(Transient, match="not the name of a commit"):
            ask()
    assert stage.network() == []


def test_a_file_that_is_there_is_no_commit_that_is_there(stage: Stage) -> None:
    blob = CommitId(stage.world.rev(f"{stage.base}:{DEV}"))
    with pytest.raises(Transient, match="does not have"):
        stage.mirror.retrieve(blob, REF)


# --- listings -----------------------------------------------------------------------------------


def _pack_references(stage: Stage, count: int) -> None:
    lines = sorted(f"refs/pull/{number}/head" for number in range(1, count + 1))
    text = "".join(f"{stage.base} {name}\n" for name in lines)
    shutil.rmtree(stage.world.origin / "refs/pull")
    (stage.world.origin / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{text}")


def test_two_hundred_thousand_references_are_listed_at_once(stage: Stage) -> None:
    _pack_references(stage, beyond.REFERENCES)
    stage.network()
    found = stage.mirror.references("refs/pull/*/head")
    assert len(found) == beyond.REFERENCES == 200_000
    assert set(found.values()) == {stage.base}
    assert stage.network() == ["git ls-remote"]


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        pytest.param("REFERENCES", 10, "more than 10 references match", id="many"),
        pytest.param("REFERENCE_BYTES", 0, "more than 0 bytes", id="long ones"),
    ],
)
def test_a_listing_over_its_bound_is_refused_rather_than_cut(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, words: str
) -> None:
    _pack_references(stage, 11)
    assert len(stage.mirror.references("refs/pull/*/head")) == 11
    monkeypatch.setattr(beyond, limit, value)
    with pytest.raises(Transient, match=words) as failed:
        stage.mirror.references("refs/pull/*/head")
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


@pytest.mark.parametrize(
    "pattern", ["", "*", "main", "refs/../x", "--heads", "refs/[ab]/*", "refs/x?", "refs/x\n", "-*"]
)
def test_a_pattern_that_is_no_whole_name_is_not_asked_for(stage: Stage, pattern: str) -> None:
    stage.network()
    with pytest.raises(Transient, match="not a pattern"):
        stage.mirror.references(pattern)
    assert stage.network() == []


def _advertised(*lines: bytes) -> bytes:
    """What a server of the first protocol says to begin with."""
    said = b"".join(b"%04x%b\n" % (len(line) + 5, line) for line in lines)
    body = b"001e# service=git-upload-pack\n0000" + said + b"0000"
    kind = b"application/x-git-upload-pack-advertisement"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


def test_names_that_no_reference_can_have_are_left_out(tmp_path: Path) -> None:
    name, good = b"1" * 40, b"refs/pull/1/head"
    hostile = (b"refs/pull/a\x1b[31m/head", b"refs/pull/\xff/head", b"refs/pull/../head", b"refs/pull/1/head^{}")
    said = _advertised(name + b" " + good + b"\0 ofs-delta", *(name + b" " + other for other in hostile))
    with server(said) as url:
        mirror = Mirror(url, "main", "environments", tmp_path, Bounds(git_seconds=10), lambda _: None)
        assert mirror.references("refs/pull/*/head") == {"refs/pull/1/head": "1" * 40}


def test_a_server_that_names_two_tips_of_one_reference_is_not_believed(tmp_path: Path) -> None:
    ref = b" refs/pull/1/head"
    with server(_advertised(b"1" * 40 + ref + b"\0 ofs-delta", b"2" * 40 + ref)) as url:
        mirror = Mirror(url, "main", "environments", tmp_path, Bounds(git_seconds=10), lambda _: None)
        with pytest.raises(Transient, match="two tips of refs/pull/1/head"):
            mirror.references("refs/pull/*/head")


# --- proposals ----------------------------------------------------------------------------------


def test_a_proposal_of_a_retrieved_commit_that_conflicts_is_stale(stage: Stage) -> None:
    stage.mirror.retrieve(stage.head, REF)
    tip = stage.world.switch("main").write(DEV, "3").commit(ALICE, "meanwhile").push().tip
    stage.follow()
    with pytest.raises(PolicyDenied) as denied:
        stage.mirror.proposal(tip, stage.head)
    assert denied.value.reason is Reason.APPROVAL_STALE


def test_a_proposal_of_what_was_not_retrieved_says_so(stage: Stage) -> None:
    with pytest.raises(Transient, match=f"{stage.head} is not in the history of main, nor retrieved"):
        stage.mirror.proposal(stage.base, stage.head)
