"""What every `ports.Repository` must do, run on the mirror over each transport that can be had on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.git import Mirror
from reconciler.model import BlobId, CommitId
from reconciler.ports import Repository
from tests.gitworld import Author, GitWorld

DEV, PROD = "environments/dev.yaml", "environments/shop/prod.yaml"
UNKNOWN = CommitId("0123456789" * 4)
ALICE = Author("Alice", "alice@example.com")
BOB = Author("Bob", "bob@example.com")


@pytest.fixture(params=["a local path", "http", "SHA-256 objects"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(variant: str, tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path / "world", object_format="sha256" if variant == "SHA-256 objects" else "sha1")


@pytest.fixture
def repository(variant: str, world: GitWorld, tmp_path: Path) -> Iterator[Repository]:
    if variant == "http":
        with world.serve() as url:
            yield make(url, tmp_path)
    else:
        yield make(world.url, tmp_path)


def make(url: str, tmp_path: Path, **bounds: float) -> Mirror:
    return Mirror(
        url, "main", "environments", tmp_path / "state" / "git", Bounds.model_validate(bounds), lambda _: None
    )


def follow(repository: Repository) -> CommitId:
    tip = repository.head()
    assert tip is not None
    repository.fetch(tip)
    return tip


def test_an_empty_repository_has_no_tip(world: GitWorld, repository: Repository) -> None:
    assert repository.head() is None


def test_the_tip_follows_the_branch_forward_and_back(world: GitWorld, repository: Repository) -> None:
    first = world.write(DEV, "1").commit(ALICE, "one").push().tip
    assert follow(repository) == first
    second = world.write(DEV, "2").commit(ALICE, "two").push().tip
    assert follow(repository) == second
    world.force_push(first)
    assert follow(repository) == first


def test_the_tree_is_that_of_the_folder_alone_with_relative_paths(world: GitWorld, repository: Repository) -> None:
    world.write(DEV, "d").write(PROD, "p").write("README", "r").write("environments2/x.yaml", "x")
    tip = world.commit(ALICE, "all").push().tip
    follow(repository)
    assert {path: entry.mode for path, entry in repository.tree(tip).items()} == {
        "dev.yaml": "100644",
        "shop/prod.yaml": "100644",
    }


def test_a_commit_without_the_folder_has_an_empty_tree(world: GitWorld, repository: Repository) -> None:
    tip = world.write("README", "r").commit(ALICE, "none").push().tip
    follow(repository)
    assert repository.tree(tip) == {}


def test_one_entry_is_what_the_tree_says_of_it(world: GitWorld, repository: Repository) -> None:
    tip = world.write(DEV, "d").write(PROD, "p").commit(ALICE, "all").push().tip
    follow(repository)
    tree = repository.tree(tip)
    assert repository.entry(tip, "dev.yaml") == tree["dev.yaml"]
    assert repository.entry(tip, "shop/prod.yaml") == tree["shop/prod.yaml"]
    assert repository.entry(tip, "shop") is None
    assert repository.entry(tip, "absent.yaml") is None


def test_contents_come_by_blob_and_large_ones_as_none(world: GitWorld, repository: Repository) -> None:
    tip = world.write(DEV, "small\n").write(PROD, "x" * 3_000_000).commit(ALICE, "all").push().tip
    follow(repository)
    tree = repository.tree(tip)
    small, large = tree["dev.yaml"].blob, tree["shop/prod.yaml"].blob
    assert repository.read_blobs([large, small, large], 1000) == {large: None, small: b"small\n"}
    assert repository.read_blobs([], 1000) == {}


def test_an_unknown_blob_is_reported_and_not_made_up(world: GitWorld, repository: Repository) -> None:
    world.write(DEV, "1").commit(ALICE, "one").push()
    follow(repository)
    with pytest.raises(Transient) as failed:
        repository.read_blobs([BlobId(UNKNOWN)], 1000)
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_changed_paths_are_those_of_the_folder(world: GitWorld, repository: Repository) -> None:
    old = world.write(DEV, "d").write(PROD, "p").write("README", "r").commit(ALICE, "one").push().tip
    world.remove(DEV).write(PROD, "P").write("README", "R").write("environments/new.yaml", "n")
    new = world.commit(ALICE, "two").push().tip
    follow(repository)
    assert repository.changed_paths(old, new) == {"dev.yaml", "shop/prod.yaml", "new.yaml"}
    assert repository.changed_paths(new, new) == set()


def test_a_renamed_file_changed_at_both_its_names(world: GitWorld, repository: Repository) -> None:
    old = world.write(DEV, "same\n" * 20).commit(ALICE, "one").tip
    new = world.move(DEV, "environments/qa.yaml").commit(ALICE, "two").push().tip
    follow(repository)
    assert repository.changed_paths(old, new) == {"dev.yaml", "qa.yaml"}
    assert [change.after for change in repository.changes("dev.yaml", old, new)] == [None]


def test_descent_is_told_in_both_directions_and_across_branches(world: GitWorld, repository: Repository) -> None:
    root = world.write(DEV, "1").commit(ALICE, "root").tip
    side = world.branch("side").write("a", "1").commit(ALICE, "side").tip
    main = world.switch("main").write("b", "1").commit(ALICE, "main").tip
    tip = world.merge("side", signer=BOB, sign=False).push().tip
    follow(repository)
    assert all(repository.is_ancestor(old, tip) for old in (root, side, main, tip))
    assert repository.is_ancestor(root, side)
    assert not repository.is_ancestor(tip, root)
    assert not repository.is_ancestor(side, main)


def test_an_unknown_commit_is_nobodys_ancestor_and_descends_from_nobody(
    world: GitWorld, repository: Repository
) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "root").push().tip
    follow(repository)
    unknown = CommitId((UNKNOWN * 2)[: len(tip)])
    assert not repository.is_ancestor(unknown, tip)
    assert not repository.is_ancestor(tip, unknown)
    assert not repository.is_ancestor(CommitId("--all"), tip)


def test_descent_is_right_again_after_the_branch_was_rewritten(world: GitWorld, repository: Repository) -> None:
    root = world.write(DEV, "1").commit(ALICE, "root").tip
    lost = world.write(DEV, "2").commit(ALICE, "lost").push().tip
    assert repository.is_ancestor(root, follow(repository))
    world.reset(root).write(DEV, "3").commit(ALICE, "other").force_push()
    tip = follow(repository)
    assert repository.is_ancestor(root, tip)
    assert not repository.is_ancestor(lost, tip)


def test_changes_are_listed_oldest_first_with_both_sides(world: GitWorld, repository: Repository) -> None:
    root = world.write(DEV, "1").commit(ALICE, "root").tip
    world.write("README", "r").commit(ALICE, "something else")
    second = world.write(DEV, "2").commit(ALICE, "two").tip
    third = world.remove(DEV).commit(ALICE, "three").push().tip
    follow(repository)
    found = repository.changes("dev.yaml", None, third)
    assert [change.commit for change in found] == [root, second, third]
    assert found[0].parent is None
    assert found[0].before is None
    assert found[2].after is None
    assert all(one.after == two.before for one, two in pairwise(found))
    assert repository.changes("dev.yaml", root, third) == found[1:]
    assert repository.changes("dev.yaml", third, third) == ()


def test_a_merge_is_one_change_against_its_first_parent(world: GitWorld, repository: Repository) -> None:
    root = world.write(DEV, "1").commit(ALICE, "root").tip
    world.branch("bump").write(DEV, "2").commit(ALICE, "two").write(DEV, "3").commit(ALICE, "three")
    merge = world.merge("bump", signer=BOB, sign=False).push().tip
    follow(repository)
    found = repository.changes("dev.yaml", root, merge)
    assert [(change.commit, change.parent) for change in found] == [(merge, root)]


def test_a_direct_push_that_a_later_merge_undoes_is_not_simplified_away(
    world: GitWorld, repository: Repository
) -> None:
    root = world.write(DEV, "1").commit(ALICE, "root").tip
    world.branch("side").write("README", "r").commit(ALICE, "side")
    pushed = world.switch("main").write(DEV, "bad").commit(ALICE, "straight in").tip
    world.git("merge", "--no-ff", "--no-commit", "side", people=(BOB, BOB))
    merge = world.write(DEV, "1").commit(BOB, "undo in a merge").push().tip
    follow(repository)
    assert [change.commit for change in repository.changes("dev.yaml", root, merge)] == [pushed, merge]


def test_a_forged_date_changes_neither_order_nor_membership(world: GitWorld, repository: Repository) -> None:
    commits = []
    for number, year in enumerate((2030, 1990, 2050, 1980)):
        world.write(DEV, str(number))
        moment = {"GIT_AUTHOR_DATE": f"{year}-01-01T00:00:00Z", "GIT_COMMITTER_DATE": f"{year}-01-01T00:00:00Z"}
        who = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x"}
        world.run("git", "commit", "--quiet", "-m", str(year), variables=moment | who)
        commits.append(world.tip)
    world.push()
    follow(repository)
    assert [change.commit for change in repository.changes("dev.yaml", None, commits[-1])] == commits
    assert [change.commit for change in repository.changes("dev.yaml", commits[1], commits[-1])] == commits[2:]


def test_more_changes_than_allowed_are_refused_rather_than_cut(world: GitWorld, tmp_path: Path) -> None:
    for number in range(4):
        world.write(DEV, str(number)).commit(ALICE, "x")
    tip = world.push().tip
    repository = make(world.url, tmp_path, changes=3)
    follow(repository)
    with pytest.raises(PolicyDenied):
        repository.changes("dev.yaml", None, tip)
    assert len(repository.changes("dev.yaml", world.rev("HEAD~3"), tip)) == 3


def test_a_commit_is_given_as_it_is_stored(world: GitWorld, repository: Repository) -> None:
    world.write(DEV, "1").commit(ALICE, "root")
    world.write(DEV, "2").commit(ALICE, "Subject\n\nBody", committer=BOB).push()
    follow(repository)
    for _ in range(2):  # from disk, then from memory
        found = repository.commit(world.tip)
        assert (found.id, found.parents) == (world.tip, (world.rev("HEAD~1"),))
        assert (found.author, found.committer) == (str(ALICE), str(BOB))
        assert (found.message, found.signature, found.payload) == ("Subject\n\nBody\n", None, world.raw())


def test_an_oversized_commit_is_refused(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "1").commit(ALICE, "x" * 5000).push()
    repository = make(world.url, tmp_path, commit_bytes=4096)
    follow(repository)
    with pytest.raises(PolicyDenied):
        repository.commit(world.tip)


def test_between_lists_what_a_merge_brought_up_to_one_more_than_asked(world: GitWorld, repository: Repository) -> None:
    base = world.write(DEV, "1").commit(ALICE, "root").tip
    world.branch("bump")
    brought = [world.write(DEV, str(number)).commit(ALICE, "x").tip for number in range(5)]
    world.merge("bump", signer=BOB, sign=False).push()
    follow(repository)
    assert set(repository.between(base, brought[-1], 5)) == set(brought)
    assert len(repository.between(base, brought[-1], 2)) == 3
    assert repository.between(brought[-1], base, 5) == ()
    assert repository.commit(brought[0]).parents == (base,)


def test_an_unknown_commit_fails_every_read_with_a_reason(world: GitWorld, repository: Repository) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "root").push().tip
    follow(repository)
    for unknown in (CommitId((UNKNOWN * 2)[: len(tip)]), CommitId("HEAD"), CommitId("--help")):
        for read in (
            lambda unknown=unknown: repository.tree(unknown),
            lambda unknown=unknown: repository.entry(unknown, "dev.yaml"),
            lambda unknown=unknown: repository.changed_paths(unknown, tip),
            lambda unknown=unknown: repository.changes("dev.yaml", unknown, tip),
            lambda unknown=unknown: repository.commit(unknown),
            lambda unknown=unknown: repository.between(unknown, tip, 5),
        ):
            with pytest.raises(Transient) as failed:
                read()
            assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_several_threads_read_while_one_fetches(world: GitWorld, repository: Repository) -> None:
    tip = world.write(DEV, "0").commit(ALICE, "root").push().tip
    follow(repository)
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(lambda: repository.tree(tip)["dev.yaml"].mode) for _ in range(12)]
        fetches = []
        for number in range(3):
            world.write(DEV, str(number + 1)).commit(ALICE, "x").push()
            fetches.append(pool.submit(follow, repository))
        assert {read.result() for read in reads} == {"100644"}
        for fetch in fetches:
            fetch.result()
    assert follow(repository) == world.tip


def test_a_proposal_is_what_the_branch_would_be_after_a_merge(world: GitWorld, repository: Repository) -> None:
    base = world.write(DEV, "1").write(PROD, "1").commit(ALICE, "one").push().tip
    follow(repository)
    head = world.branch("bump").write(DEV, "2").commit(BOB, "bump").tip
    proposal = repository.proposal(base, head, world.work / ".git")
    assert repository.proposal(base, head, world.work / ".git") == proposal
    assert repository.commit(proposal).parents == (base, head)
    assert repository.changed_paths(base, proposal) == {"dev.yaml"}
    assert [change.commit for change in repository.changes("dev.yaml", base, proposal)] == [proposal]
    assert repository.is_ancestor(base, proposal)
    assert set(repository.between(base, proposal, 10)) == {head, proposal}
    assert repository.merge_bases(proposal, base) == (base,)
    assert repository.head() == base


def test_a_proposal_of_what_is_merged_already_is_the_branch_itself(world: GitWorld, repository: Repository) -> None:
    old = world.write(DEV, "1").commit(ALICE, "one").push().tip
    tip = world.write(DEV, "2").commit(ALICE, "two").push().tip
    follow(repository)
    assert repository.proposal(tip, old, world.work / ".git") == tip


def test_a_proposal_that_conflicts_is_stale(world: GitWorld, repository: Repository) -> None:
    world.write(DEV, "1").commit(ALICE, "one").push()
    head = world.branch("bump").write(DEV, "2").commit(BOB, "bump").tip
    tip = world.switch("main").write(DEV, "3").commit(ALICE, "meanwhile").push().tip
    follow(repository)
    with pytest.raises(PolicyDenied) as denied:
        repository.proposal(tip, head, world.work / ".git")
    assert denied.value.reason is Reason.APPROVAL_STALE
    with pytest.raises(Transient):
        repository.proposal(tip, UNKNOWN, world.work / ".git")


# --- beyond the branch --------------------------------------------------------------------------


def request(world: GitWorld, number: int, text: str) -> CommitId:
    """A pull request as forges keep it: a commit on top of the branch, behind a reference of its own."""
    head = world.switch("main").branch(f"request-{number}").write(DEV, text).commit(BOB, f"#{number}").tip
    world.git("push", "--quiet", "origin", f"HEAD:refs/pull/{number}/head")
    world.switch("main")
    return head


def test_a_commit_that_the_branch_does_not_hold_is_readable_once_it_was_retrieved(
    world: GitWorld, repository: Repository
) -> None:
    base = world.write(DEV, "1").write(PROD, "1").commit(ALICE, "one").push().tip
    head = request(world, 12, "2")
    follow(repository)
    with pytest.raises(Transient):
        repository.commit(head)
    for _ in range(2):
        repository.retrieve(head, "refs/pull/12/head")
    assert repository.commit(head).parents == (base,)
    assert repository.merge_bases(base, head) == (base,)
    assert repository.between(base, head, 5) == (head,)
    entry = repository.entry(head, "dev.yaml")
    assert entry
    assert repository.read_blobs([entry.blob], 100) == {entry.blob: b"2"}
    assert repository.head() == base
    assert not repository.is_ancestor(head, base)


def test_a_commit_that_the_reference_has_left_behind_is_retrieved_all_the_same(
    world: GitWorld, repository: Repository
) -> None:
    world.write(DEV, "1").commit(ALICE, "one").push()
    head = request(world, 12, "2")
    world.switch("request-12").write(DEV, "3").commit(BOB, "more").git("push", "origin", "HEAD:refs/pull/12/head")
    follow(repository)
    repository.retrieve(head, "refs/pull/12/head")
    assert repository.commit(head).message == "#12\n"


def test_what_is_in_the_branch_needs_no_reference(world: GitWorld, repository: Repository) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "one").push().tip
    follow(repository)
    repository.retrieve(tip, "refs/pull/99/head")


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param("refs/pull/99/head", id="a reference that is gone"),
        pytest.param("refs/pull/13/head", id="a reference with another history"),
        pytest.param("pull/12/head", id="an abbreviated name"),
        pytest.param("refs/pull/*/head", id="a pattern"),
        pytest.param("--upload-pack=touch x", id="an option"),
        pytest.param("refs/pull/12/head:refs/reconciler/tip", id="a name with a destination"),
        pytest.param("refs/pull/12/head\nrefs/x", id="two lines"),
        pytest.param("", id="nothing"),
    ],
)
def test_not_retrieved_by_way_of(world: GitWorld, repository: Repository, ref: str) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "one").push().tip
    head = request(world, 12, "2")
    request(world, 13, "3")
    follow(repository)
    with pytest.raises(Transient) as failed:
        repository.retrieve(head, ref)
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE
    assert failed.value.hint
    with pytest.raises(Transient):
        repository.commit(head)
    assert repository.is_ancestor(tip, tip)


def test_references_come_by_whole_name_and_a_star_stands_for_no_slash(world: GitWorld, repository: Repository) -> None:
    assert repository.references("refs/pull/*/head") == {}
    world.write(DEV, "1").commit(ALICE, "one").push()
    heads = {f"refs/pull/{number}/head": request(world, number, str(number)) for number in (2, 11)}
    for other in ("refs/pull/2/merge", "refs/pull/2/x/head", "refs/x/refs/pull/3/head", "refs/pull/2/head2"):
        world.git("push", "--quiet", "origin", f"HEAD:{other}")
    assert repository.references("refs/pull/*/head") == heads
    assert repository.references("refs/pull/11/head") == {"refs/pull/11/head": heads["refs/pull/11/head"]}
    assert set(repository.references("refs/heads/*")) == {"refs/heads/main"}


def test_a_tag_is_one_reference(world: GitWorld, repository: Repository) -> None:
    world.write(DEV, "1").commit(ALICE, "one").git("tag", "-m", "x", "v1", people=(ALICE, ALICE))
    world.git("push", "--quiet", "origin", "refs/tags/v1")
    assert repository.references("refs/tags/*") == {"refs/tags/v1": world.rev("refs/tags/v1")}


def test_a_proposal_needs_no_clone_for_what_was_retrieved(world: GitWorld, repository: Repository) -> None:
    base = world.write(DEV, "1").write(PROD, "1").commit(ALICE, "one").push().tip
    head = request(world, 12, "2")
    follow(repository)
    with pytest.raises(Transient) as failed:
        repository.proposal(base, head)
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE
    repository.retrieve(head, "refs/pull/12/head")
    proposal = repository.proposal(base, head)
    assert repository.commit(proposal).parents == (base, head)
    assert repository.changed_paths(base, proposal) == {"dev.yaml"}
    assert repository.proposal(base, base) == base
    assert repository.proposal(base, head, world.work / ".git") == proposal
