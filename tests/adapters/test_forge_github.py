"""What the forge says of commits on a GitHub of our own: facts alone, for each way to let a pull request in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from reconciler.forges import github as adapter
from reconciler.forges.github import answers
from reconciler.forges.github.people import People, person
from reconciler.git import Mirror
from reconciler.github import GitHubOptions, connect
from reconciler.machine.clock import SystemClock
from reconciler.model import ChangeRequest, CommitId, Decision, ForgeFacts, Person, Review
from reconciler.ports import Forge, Parts
from tests.github import bodies
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401 - fixtures
from tests.github.repository import HubRepository
from tests.github.state import Account, Pull

DEV = "environments/dev.yaml"
METHODS = ("merge", "squash", "rebase")
each_method = pytest.mark.parametrize("method", METHODS)


@dataclass
class Stage:
    """One repository, its people, and the forge that looks at it."""

    github: GitHub
    repository: HubRepository
    folder: Path
    alice: Account
    bob: Account

    def parts(self, bounds: Bounds | None = None) -> Parts:
        limits, state = bounds or Bounds(), self.folder / "state"
        mirror = Mirror(self.repository.git_url, "main", "environments", state / "git", limits, lambda _: None)
        tip = mirror.head()
        assert tip
        mirror.fetch(tip)
        return Parts(SystemClock(), Random(0), lambda _: None, limits, state, mirror, "main")

    def forge(self, bounds: Bounds | None = None, **options: object) -> Forge:
        chosen = {"repository": "acme/deploy", "url": self.github.url, "token_env": "FORGE_TOKEN", **options}
        return adapter.create(chosen, self.parts(bounds))

    def facts(self, commit: str, teams: frozenset[str] = frozenset(), **options: object) -> ForgeFacts:
        return self.forge(None, **options).facts(CommitId(commit), teams)

    def request(self, commit: str, teams: frozenset[str] = frozenset(), **options: object) -> ChangeRequest:
        facts = self.facts(commit, teams, **options)
        assert facts.requests, facts.note
        (request,) = facts.requests
        return request

    def note(self, commit: str) -> str:
        facts = self.facts(commit)
        assert facts.requests == ()
        assert facts.how == "open a pull request and have somebody else approve and merge it"
        return facts.note

    def bump(self, text: str = "2", message: str = "Bump dev", branch: str = "bump", **how: object) -> str:
        return self.repository.push(self.alice, branch, {DEV: text}, message, **how)  # type: ignore[arg-type]

    def pull(self, **how: object) -> Pull:
        """A pull request of alice's, of one commit."""
        self.bump(**how)  # type: ignore[arg-type]
        return self.repository.open_pull(self.alice, "bump", title="Bump dev")

    def approved(self, method: str = "squash", **how: object) -> str:
        """The same, approved and merged by bob."""
        pull = self.pull(**how)
        self.repository.review(pull, self.bob, "APPROVED")
        return self.repository.merge(pull, self.bob, method)


@pytest.fixture
def stage(
    github: GitHub,  # noqa: F811
    hub_repository: HubRepository,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    monkeypatch.setenv("FORGE_TOKEN", github.token)
    alice, bob = hub_repository.person("alice"), hub_repository.person("bob")
    return Stage(github, hub_repository, tmp_path / "stage", alice, bob)


def ids(people: tuple[Person, ...]) -> set[str]:
    return {person.id for person in people}


def me(*accounts: Account) -> set[str]:
    return {str(account.id) for account in accounts}


# --- how it came to the branch --------------------------------------------------------------------


def listed(stage: Stage, *pulls: Pull) -> None:
    """GitHub's next answer on a commit names these pull requests."""
    said = json.dumps([bodies.pull_in_list(pull) for pull in pulls])
    stage.github.hub.fail(200, path="/pulls?", body=said.encode())


@each_method
def test_an_approved_change_is_told_with_everybody_in_it(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.bob, method)
    request = stage.request(merged)
    bob = Person(str(stage.bob.id), frozenset({"bob"}))
    assert request == ChangeRequest(
        ref="#1",
        title="Bump dev",
        head=CommitId(pull.head_commit),
        merged_as=CommitId(merged),
        authors=(Person(str(stage.alice.id), frozenset({"alice"})),),
        unproven_authors=(),
        reviews=(Review(bob, CommitId(pull.head_commit), Decision.APPROVED, pull.reviews[0].at),),
        merged_by=bob,
        landed=(CommitId(merged),),
        retargeted=None,
        head_ref="refs/pull/1/head",
    )
    assert stage.repository.git("rev-parse", request.head_ref) == request.head


def test_all_commits_that_a_rebase_brought_have_the_same_request(stage: Stage) -> None:
    stage.bump("2", "One\n")
    stage.bump("3", "Two\n\nWith a body.  ")
    pull = stage.pull(text="4", message="Three")
    stage.repository.push(stage.bob, "main", {"other": "x"}, "Meanwhile")
    stage.repository.review(pull, stage.bob, "APPROVED")
    last = stage.repository.merge(pull, stage.bob, "rebase")
    brought = stage.repository.git("rev-list", "--reverse", "-3", last).split()
    requests = [stage.request(commit) for commit in brought]
    assert requests[0].landed == tuple(brought)
    assert requests[0].merged_as == last
    assert requests[0] == requests[1] == requests[2]


def test_a_rebase_leaves_merges_of_the_branch_out(stage: Stage) -> None:
    stage.bump("2", "One")
    stage.repository.push(stage.bob, "main", {"other": "x"}, "Meanwhile")
    stage.repository.push(stage.alice, "bump", {"third": "x"}, "Two")
    update(stage, "bump")
    pull = stage.repository.open_pull(stage.alice, "bump")
    assert len(pull.commits) == 3
    last = stage.repository.merge(pull, stage.bob, "rebase")
    assert stage.request(last).landed == tuple(stage.repository.git("rev-list", "--reverse", "-2", last).split())


def update(stage: Stage, branch: str) -> str:
    """Merge main into a branch, as the button of a pull request does."""
    bare = stage.repository.bare
    tip, main = stage.repository.tip(branch), stage.repository.tip()
    author, at = stage.alice.author, stage.github.hub.now()
    merge = bare.commit(bare.merged_tree(tip, main), (tip, main), "Update", author, author, at)
    stage.repository.moved(stage.alice, branch, merge)
    return merge


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_one_commit_that_brought_several_is_all_that_landed(stage: Stage, method: str) -> None:
    stage.bump("2", "One")
    merged = stage.approved(method, text="3", message="Two")
    assert stage.request(merged).landed == (merged,)


def test_a_squash_that_looks_like_the_last_commit_is_no_rebase(stage: Stage) -> None:
    first = stage.repository.push(stage.alice, "main", {"other": "x"}, "Unlike")
    stage.bump("2", "One", onto=first)
    pull = stage.pull(text="3", message="Two")
    bare = stage.repository.bare
    author, at = stage.alice.author, stage.github.hub.now()
    look_alike = bare.commit(bare.tree(pull.head_commit, {}), (first,), "Two", author, stage.bob.author, at)
    merged_as(stage, pull, look_alike)
    assert stage.request(look_alike).landed == (look_alike,)


@pytest.mark.parametrize("unlike", ["another author", "a merge"])
def test_a_squash_on_something_that_looks_like_the_first_commit_is_no_rebase(stage: Stage, unlike: str) -> None:
    bare, main, at = stage.repository.bare, stage.repository.tip(), stage.github.hub.now()
    alice, bob = stage.alice.author, stage.bob.author
    parents: tuple[str, ...] = (main,)
    if unlike == "a merge":
        parents = (main, bare.commit(bare.tree(main, {"side": "x"}), (main,), "Side", bob, bob, at))
    wrote = bob if unlike == "another author" else alice
    below = bare.commit(bare.tree(main, {"other": "x"}), parents, "One", wrote, bob, at)
    stage.repository.moved(stage.bob, "main", below)
    stage.bump("2", "One")
    pull = stage.pull(text="3", message="Two")
    last = bare.commit(bare.tree(pull.head_commit, {}), (below,), "Two", alice, bob, at)
    merged_as(stage, pull, last)
    assert stage.request(last).landed == (last,)


def merged_as(stage: Stage, pull: Pull, commit: str) -> None:
    """GitHub says that a pull request was merged as a commit that was made by hand."""
    hub = stage.github.hub
    pull.merged_as, pull.merged_by, pull.merged, pull.state = CommitId(commit), stage.bob, hub.now(), "closed"
    pull.landed = (commit,)
    stage.repository.moved(stage.bob, "main", commit, "pr_merge")


def test_a_pull_request_merged_by_pushing_its_head_brought_its_own_commits(stage: Stage) -> None:
    first = stage.bump("2", "One")
    pull = stage.pull(text="3", message="Two")
    head = stage.repository.direct_push_of_pull(pull, stage.bob)
    one, other = stage.request(first), stage.request(head)
    assert one == other
    assert (one.landed, one.merged_as, one.head) == ((first, head), head, head)
    assert one.merged_by == Person(str(stage.bob.id), frozenset({"bob"}))


def test_a_pushed_head_that_merged_the_branch_brought_what_is_its_own_on_the_first_parents(stage: Stage) -> None:
    stage.bump("2", "One")
    stage.repository.push(stage.bob, "main", {"other": "x"}, "Meanwhile")
    update(stage, "bump")
    pull = stage.pull(text="3", message="Two")
    head = stage.repository.direct_push_of_pull(pull, stage.bob)
    request = stage.request(head)
    assert request.landed == tuple(pull.commits)
    assert len(pull.commits) == 3


def test_what_a_pushed_head_merged_from_the_side_is_not_on_the_first_parents(stage: Stage) -> None:
    below = stage.repository.tip()
    first = stage.bump("2", "One")
    side = stage.repository.push(stage.alice, "side", {"side": "x"}, "Side", onto=below)
    bare, author, at = stage.repository.bare, stage.alice.author, stage.github.hub.now()
    head = bare.commit(bare.merged_tree(first, side), (first, side), "Take it in", author, author, at)
    stage.repository.moved(stage.alice, "bump", head)
    pull = stage.repository.open_pull(stage.alice, "bump")
    stage.repository.direct_push_of_pull(pull, stage.bob)
    assert set(pull.commits) == {first, side, head}
    assert stage.request(head).landed == (first, head)


def test_what_is_below_a_pushed_head_is_not_the_pull_requests(stage: Stage) -> None:
    below = stage.repository.push(stage.bob, "main", {DEV: "1"}, "Straight in")
    stage.repository.direct_push_of_pull(stage.pull(), stage.bob)
    assert stage.note(below) == "no pull request brought it: somebody pushed it to the branch"


def test_a_direct_push_has_no_request(stage: Stage) -> None:
    pushed = stage.repository.push(stage.alice, "main", {DEV: "2"}, "Straight in")
    assert stage.note(pushed) == "no pull request brought it: somebody pushed it to the branch"


def test_an_open_pull_request_that_contains_the_commit_let_nothing_in(stage: Stage) -> None:
    first = stage.bump("2", "One")
    pull = stage.pull(text="3", message="Two")
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.repository.force_push(stage.alice, "main", first)
    assert pull.state == "open"
    listed(stage, pull)
    assert stage.note(first) == "#1 is open, not merged"


@each_method
def test_a_pull_request_into_another_branch_let_nothing_in_here(stage: Stage, method: str) -> None:
    stage.repository.push(stage.alice, "release", {"other": "x"}, "Begin a release")
    stage.bump("2", onto="release")
    pull = stage.repository.open_pull(stage.alice, "bump", "release")
    stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.bob, method)
    stage.repository.force_push(stage.alice, "main", merged)
    assert stage.note(merged) == "#1 was merged into release, not main"


@each_method
def test_when_a_pull_request_was_retargeted_is_told(stage: Stage, method: str) -> None:
    stage.repository.push(stage.alice, "release", {DEV: "1"}, "Begin a release")
    stage.bump("2")
    pull = stage.repository.open_pull(stage.alice, "bump", "release")
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.repository.retarget(pull, "main", stage.alice)
    request = stage.request(stage.repository.merge(pull, stage.alice, method))
    assert request.retargeted is not None
    assert request.reviews[0].at is not None
    assert request.retargeted > request.reviews[0].at


def test_the_last_of_several_retargets_counts_also_one_by_github_itself(stage: Stage) -> None:
    pull = stage.pull()
    stage.repository.retarget(pull, "main")
    stage.repository.note(pull, "automatic_base_change_succeeded", stage.alice)
    stage.repository.note(pull, "head_ref_deleted", stage.alice)
    last = pull.events[-2].at
    stage.repository.review(pull, stage.bob, "APPROVED")
    assert stage.request(stage.repository.merge(pull, stage.bob, "squash")).retargeted == last


@each_method
def test_an_altered_merge_names_the_head_that_it_differs_from(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.bob, method, tamper={DEV: "666"})
    request = stage.request(merged)
    shown = [stage.repository.show(commit, DEV) for commit in (request.head, request.merged_as)]
    assert shown == ["2", "666"]


def test_a_merge_of_another_commit_than_the_head_is_not_the_pull_requests(stage: Stage) -> None:
    pull = stage.pull()
    main, bare = stage.repository.tip(), stage.repository.bare
    author, at = stage.alice.author, stage.github.hub.now()
    more = bare.commit(bare.tree(pull.head_commit, {"more": "x"}), (pull.head_commit,), "More", author, author, at)
    merge = bare.commit(bare.tree(more, {}), (main, more), "Merge", author, author, at)
    merged_as(stage, pull, merge)
    said = f"#1 was merged as {merge[:12]}, which is not how this commit came to main"
    assert stage.note(merge) == said


def test_a_commit_that_github_names_for_another_merge_is_not_the_pull_requests(stage: Stage) -> None:
    pull = stage.pull()
    merged = stage.repository.merge(pull, stage.bob, "squash")
    pushed = stage.repository.push(stage.alice, "main", {DEV: "3"}, "Straight in")
    listed(stage, pull)
    assert stage.note(pushed) == f"#1 was merged as {merged[:12]}, which is not how this commit came to main"


def test_a_commit_below_the_merge_is_not_the_pull_requests(stage: Stage) -> None:
    pushed = stage.repository.push(stage.alice, "main", {DEV: "3"}, "Straight in")
    pull = stage.pull()
    merged = stage.repository.merge(pull, stage.bob, "squash")
    listed(stage, pull)
    assert stage.note(pushed) == f"#1 was merged as {merged[:12]}, which is not how this commit came to main"


def test_a_merge_that_the_mirror_does_not_hold_brought_nothing_here(stage: Stage) -> None:
    pushed = stage.repository.push(stage.alice, "main", {DEV: "3"}, "Straight in")
    parts = stage.parts()
    pull = stage.pull()
    merged = stage.repository.merge(pull, stage.bob, "squash")
    listed(stage, pull)
    options = {"repository": "acme/deploy", "url": stage.github.url, "token_env": "FORGE_TOKEN"}
    facts = adapter.create(options, parts).facts(CommitId(pushed))
    assert facts.note == f"#1 was merged as {merged[:12]}, which is not how this commit came to main"


def test_a_pull_request_of_another_repository_let_nothing_in_here(stage: Stage) -> None:
    mallory = stage.github.hub.person("mallory")
    fork = stage.repository.fork(mallory)
    fork.push(mallory, "bump", {DEV: "666"}, "Bump dev")
    pull = fork.open_pull(mallory, "bump")
    fork.review(pull, mallory, "APPROVED")
    merged = fork.merge(pull, mallory, "squash")
    stage.repository.force_push(mallory, "main", merged)
    listed(stage, pull)  # whatever GitHub may list of a network of forks
    assert stage.note(merged) == "#1 is of another repository, mallory/deploy"


def test_a_pull_request_from_a_fork_is_told_like_any_other(stage: Stage) -> None:
    mallory = stage.github.hub.person("mallory")
    pull = stage.repository.fork_pull(mallory, {DEV: "2"}, "Bump dev")
    stage.repository.review(pull, stage.bob, "APPROVED")
    request = stage.request(stage.repository.merge(pull, stage.bob, "merge"))
    assert ids(request.authors) == me(mallory)
    assert request.unproven_authors == ()


def test_a_commit_that_github_does_not_have_yet_has_no_request(stage: Stage) -> None:
    stage.github.hub.fail(404, path="/pulls")
    assert stage.note(stage.repository.tip()) == "GitHub does not have this commit (yet)"


def test_a_repository_made_anew_under_the_name_is_another_one(stage: Stage) -> None:
    merged = stage.approved()
    assert stage.request(merged, repository_id=stage.repository.id).merged_as == merged
    with pytest.raises(Transient) as caught:
        stage.facts(merged, repository_id=stage.repository.id + 1)
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert f"has the id {stage.repository.id}, not {stage.repository.id + 1}" in caught.value.message


def test_a_repository_replaced_while_we_run_is_another_one(stage: Stage) -> None:
    merged = stage.approved()
    forge = stage.forge()
    assert forge.facts(CommitId(merged)).requests
    stage.repository.id = stage.github.hub.new_id()
    forge.look_again()
    with pytest.raises(Transient, match="it is another one"):
        forge.facts(CommitId(merged))


# --- who wrote it ---------------------------------------------------------------------------------


@each_method
def test_who_opened_it_and_merged_it_alone_is_author_and_merger(stage: Stage, method: str) -> None:
    request = stage.request(stage.repository.merge(stage.pull(), stage.alice, method))
    assert request.reviews == ()
    assert request.merged_by in request.authors


@each_method
def test_who_pushed_to_somebody_elses_branch_is_an_author(stage: Stage, method: str) -> None:
    pull = stage.pull()
    push_unnamed(stage, stage.bob)
    stage.repository.review(pull, stage.bob, "APPROVED")
    request = stage.request(stage.repository.merge(pull, stage.bob, method))
    assert ids(request.authors) == me(stage.alice, stage.bob)
    assert request.unproven_authors == ()


def push_unnamed(stage: Stage, pusher: Account) -> str:
    """Push one commit onto alice's branch that says it is alice's."""
    bare, tip = stage.repository.bare, stage.repository.tip("bump")
    author, at = stage.alice.author, stage.github.hub.now()
    commit = bare.commit(bare.tree(tip, {DEV: "3"}), (tip,), "And more", author, author, at)
    stage.repository.moved(pusher, "bump", commit)
    return commit


def test_who_pushed_a_commit_that_is_not_the_last_is_an_author_too(stage: Stage) -> None:
    stage.bump()
    push_unnamed(stage, stage.bob)
    pull = stage.pull(text="4", message="Once more")
    request = stage.request(stage.repository.merge(pull, stage.bob, "squash"))
    assert ids(request.authors) == me(stage.alice, stage.bob)


def test_who_pushed_what_is_not_in_it_any_more_is_no_author(stage: Stage) -> None:
    carol = stage.repository.person("carol")
    stage.repository.push(carol, "bump", {DEV: "0"}, "Thrown away")
    stage.repository.force_push(stage.alice, "bump", stage.repository.tip())
    request = stage.request(stage.repository.merge(stage.pull(), stage.bob, "squash"))
    assert ids(request.authors) == me(stage.alice)


def test_who_pushed_to_another_branch_is_no_author(stage: Stage) -> None:
    carol = stage.repository.person("carol")
    pull = stage.pull()
    stage.repository.moved(carol, "elsewhere", pull.head_commit)
    assert ids(stage.request(stage.repository.merge(pull, stage.bob, "merge")).authors) == me(stage.alice)


@each_method
@pytest.mark.parametrize("role", ["author", "committer"])
def test_whom_a_commits_lines_name_is_an_author(stage: Stage, method: str, role: str) -> None:
    carol = stage.repository.person("carol")
    bare, at = stage.repository.bare, stage.github.hub.now()
    people = {"author": stage.alice.author, "committer": stage.alice.author, role: carol.author}
    tree, main = bare.tree(stage.repository.tip(), {DEV: "2"}), stage.repository.tip()
    commit = bare.commit(tree, (main,), "Bump", people["author"], people["committer"], at)
    stage.repository.moved(stage.alice, "bump", commit)
    pull = stage.repository.open_pull(stage.alice, "bump")
    assert ids(stage.request(stage.repository.merge(pull, stage.bob, method)).authors) == me(stage.alice, carol)


@each_method
def test_who_opened_it_is_an_author_even_without_a_commit(stage: Stage, method: str) -> None:
    stage.bump()
    pull = stage.repository.open_pull(stage.bob, "bump")
    assert ids(stage.request(stage.repository.merge(pull, stage.bob, method)).authors) == me(stage.alice, stage.bob)


@each_method
@pytest.mark.parametrize("address", ["{id}+carol@users.noreply.github.com", "{id}+Was-Carol@USERS.noreply.GitHub.com"])
def test_a_co_author_by_githubs_own_address_is_the_account(stage: Stage, method: str, address: str) -> None:
    carol = stage.repository.person("carol")
    merged = stage.approved(method, message=f"Bump\n\nCo-authored-by: Carol <{address.format(id=carol.id)}>")
    stage.github.hub.forget()
    assert ids(stage.request(merged).authors) == me(stage.alice, carol)
    assert not [call for call in stage.github.hub.log if "author=" in call.path]


@each_method
def test_a_co_author_by_an_address_that_github_knows_is_the_account(stage: Stage, method: str) -> None:
    carol = stage.repository.person("carol")
    stage.repository.push(carol, "main", {"other": "x"}, "Earlier")
    merged = stage.approved(method, message="Bump", co_authors=(carol,))
    assert ids(stage.request(merged).authors) == me(stage.alice, carol)


def test_an_author_who_is_named_twice_is_one_person_with_both_names(stage: Stage) -> None:
    old = f"{stage.alice.id}+was-alice@users.noreply.github.com"
    merged = stage.approved(message=f"Bump\n\nCo-authored-by: A <{old}>\nCo-authored-by: A <{stage.alice.email}>")
    stage.github.hub.forget()
    assert stage.request(merged).authors == (Person(str(stage.alice.id), frozenset({"alice", "was-alice"})),)
    assert not [call for call in stage.github.hub.log if "author=" in call.path]


def test_an_address_is_asked_about_once(stage: Stage) -> None:
    carol = stage.repository.person("carol")
    stage.repository.push(carol, "main", {"other": "x"}, "Earlier")
    merged = stage.approved(message="Bump", co_authors=(carol,))
    forge = stage.forge()
    assert forge.facts(CommitId(merged)) == forge.facts(CommitId(merged))
    assert len([call for call in stage.github.hub.log if "author=" in call.path]) == 1


def test_a_commit_of_another_address_does_not_tell_whose_an_address_is(stage: Stage) -> None:
    merged = stage.approved(message="Bump\n\nCo-authored-by: Carol <carol@nowhere.example>")
    other = json.dumps([bodies.commit(stage.repository, merged)]).encode()
    stage.github.hub.fail(200, path="author=", body=other)
    assert ids(stage.request(merged).authors) == {*me(stage.alice), "email:carol@nowhere.example"}


@each_method
def test_a_co_author_whom_github_does_not_know_is_an_address(stage: Stage, method: str) -> None:
    merged = stage.approved(method, message="Bump\n\nco-authored-by : Carol <Carol@Nowhere.example>")
    stranger = Person("email:carol@nowhere.example", frozenset({"carol@nowhere.example"}))
    assert stranger in stage.request(merged).authors


def test_an_older_address_of_githubs_names_the_login(stage: Stage) -> None:
    merged = stage.approved(message="Bump\n\nCo-authored-by: Bob <bob@users.noreply.github.com>")
    (stranger,) = [one for one in stage.request(merged).authors if one.id.startswith("email:")]
    assert "bob" in stranger.names


def test_a_co_author_without_an_address_is_named_as_written(stage: Stage) -> None:
    merged = stage.approved(message="Bump\n\nCo-authored-by: Carol\r\nSigned-off-by: X")
    assert "email:carol" in ids(stage.request(merged).authors)


def test_whoever_names_too_many_co_authors_is_not_looked_up(stage: Stage) -> None:
    names = "\n".join(f"Co-authored-by: X <x{number}@nowhere.example>" for number in range(51))
    merged = stage.approved(message=f"Bump\n\n{names}")
    assert stage.note(merged) == "#1 names more than 50 co-authors by address"


def test_githubs_own_account_is_no_author(stage: Stage) -> None:
    bare, at = stage.repository.bare, stage.github.hub.now()
    tree, main = bare.tree(stage.repository.tip(), {DEV: "2"}), stage.repository.tip()
    commit = bare.commit(tree, (main,), "Made on a page", stage.alice.author, stage.github.hub.github.author, at)
    stage.repository.moved(stage.alice, "bump", commit)
    pull = stage.repository.open_pull(stage.alice, "bump")
    request = stage.request(stage.repository.merge(pull, stage.bob, "squash"))
    assert (ids(request.authors), request.unproven_authors) == (me(stage.alice), ())


def test_a_commit_that_claims_to_be_written_by_github_itself_is_unproven(stage: Stage) -> None:
    commit = stage.bump(author=stage.github.hub.github)
    pull = stage.repository.open_pull(stage.alice, "bump")
    assert stage.request(stage.repository.merge(pull, stage.bob, "squash")).unproven_authors == (commit,)


@each_method
def test_a_commit_of_somebody_whom_github_does_not_know_is_unproven(stage: Stage, method: str) -> None:
    nobody = Account(0, "nobody", "nobody@nowhere.example", "Nobody")
    commit = stage.bump(author=nobody)
    pull = stage.repository.open_pull(stage.alice, "bump")
    request = stage.request(merged := stage.repository.merge(pull, stage.bob, method))
    assert request.unproven_authors == (commit,)
    assert "email:nobody@nowhere.example" in ids(request.authors)
    assert stage.request(merged, authors="claimed").unproven_authors == ()


def test_a_committer_whom_github_does_not_know_leaves_the_commit_unproven(stage: Stage) -> None:
    nobody = Account(0, "nobody", "nobody@nowhere.example", "Nobody")
    bare, at = stage.repository.bare, stage.github.hub.now()
    tree, main = bare.tree(stage.repository.tip(), {DEV: "2"}), stage.repository.tip()
    commit = bare.commit(tree, (main,), "Bump", stage.alice.author, nobody.author, at)
    stage.repository.moved(stage.alice, "bump", commit)
    pull = stage.repository.open_pull(stage.alice, "bump")
    request = stage.request(stage.repository.merge(pull, stage.bob, "squash"))
    assert request.unproven_authors == (commit,)


@each_method
def test_a_head_that_nobody_is_known_to_have_pushed_is_unproven(stage: Stage, method: str) -> None:
    pull = stage.pull()
    merged = stage.repository.merge(pull, stage.bob, method)
    stage.repository.activities.clear()
    assert stage.request(merged).unproven_authors == (pull.head_commit,)
    assert stage.request(merged, authors="claimed").unproven_authors == ()


@pytest.mark.parametrize("gap", ["of the head is unknown", "of the head has no account"])
def test_a_push_of_an_earlier_commit_does_not_prove_who_pushed_the_head(stage: Stage, gap: str) -> None:
    stage.bump()
    pull = stage.pull(text="3", message="And more")
    merged = stage.repository.merge(pull, stage.bob, "squash")
    found = stage.repository.activities
    if gap == "of the head is unknown":
        found[:] = [one for one in found if one.after != pull.head_commit]
    else:
        nobody = {"id": 1, "node_id": "x", "before": "0" * 40, "after": pull.head_commit, "ref": "refs/heads/bump"}
        nobody |= {"timestamp": "2026-03-01T12:00:00Z", "activity_type": "push", "actor": None}
        stage.github.hub.fail(200, path="/activity", body=json.dumps([nobody]).encode())
    assert stage.request(merged).unproven_authors == (pull.head_commit,)


def test_a_head_whose_fork_is_gone_is_unproven(stage: Stage) -> None:
    pull = stage.repository.fork_pull(stage.github.hub.person("mallory"), {DEV: "2"}, "Bump dev")
    merged = stage.repository.merge(pull, stage.bob, "squash")
    stage.github.hub.fail(404, path="/activity")
    assert stage.request(merged).unproven_authors == (pull.head_commit,)


def test_more_commits_than_github_lists_have_authors_that_nobody_can_tell(stage: Stage) -> None:
    author, bare = stage.alice.author, stage.repository.bare
    tip: str = stage.repository.tip()
    tree, at = bare.tree(tip, {DEV: "2"}), stage.github.hub.now()
    for number in range(251):
        tip = bare.commit(tree, (tip,), f"Commit {number}", author, author, at)
    stage.repository.moved(stage.alice, "bump", tip)
    pull = stage.repository.open_pull(stage.alice, "bump")
    merged = stage.repository.merge(pull, stage.bob, "merge")
    assert stage.note(merged) == (
        "#1 brings 251 commits, more than 250 (which GitHub lists at most): nobody can tell their authors"
    )


def test_more_commits_than_the_operator_allows_are_not_judged(stage: Stage) -> None:
    stage.bump("2", "One")
    merged = stage.approved(text="3")
    facts = stage.forge(Bounds(merged_commits=1)).facts(CommitId(merged))
    assert "#1 brings 2 commits, more than 1 (bounds.merged_commits)" in facts.note


def test_a_commit_too_large_to_be_read_is_not_judged(stage: Stage) -> None:
    merged = stage.approved(message="Bump " + "x" * 2000)
    facts = stage.forge(Bounds(commit_bytes=1000)).facts(CommitId(merged))
    assert facts.requests == ()
    assert "#1 can't be judged" in facts.note


def test_a_list_that_lacks_the_head_does_not_tell_the_authors(stage: Stage) -> None:
    merged = stage.approved()
    other = json.dumps([bodies.commit(stage.repository, stage.repository.tip())]).encode()
    stage.github.hub.fail(200, path="/pulls/1/commits", body=other)
    assert "that is none of its commits: nobody can tell its authors" in stage.note(merged)


def test_a_list_that_lacks_commits_is_no_answer(stage: Stage) -> None:
    merged = stage.approved()
    stage.github.hub.fail(200, path="/pulls/1/commits", body=b"[]")
    with pytest.raises(Transient, match="lists 0 commits of #1, of 1"):
        stage.facts(merged)


# --- who approved ---------------------------------------------------------------------------------


@each_method
def test_an_approval_is_of_the_head_that_it_was_given_for(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    old = pull.head_commit
    stage.bump("3", "Afterwards")
    request = stage.request(stage.repository.merge(pull, stage.alice, method))
    assert [review.head for review in request.reviews] == [old]
    assert request.head == pull.head_commit != old


@each_method
def test_an_approval_that_was_taken_back_is_none(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.repository.review(pull, stage.bob, "CHANGES_REQUESTED")
    (review,) = stage.request(stage.repository.merge(pull, stage.alice, method)).reviews
    assert (review.person.id, review.decision) == (str(stage.bob.id), Decision.CHANGES_REQUESTED)


@each_method
def test_an_approval_that_was_dismissed_is_none(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.dismiss(stage.repository.review(pull, stage.bob, "APPROVED"))
    (review,) = stage.request(stage.repository.merge(pull, stage.alice, method)).reviews
    assert review.decision is Decision.DISMISSED


def test_an_approval_after_a_request_for_changes_counts_and_a_comment_takes_nothing_back(stage: Stage) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "CHANGES_REQUESTED")
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.repository.review(pull, stage.bob, "COMMENTED")
    (review,) = stage.request(stage.repository.merge(pull, stage.alice, "squash")).reviews
    assert (review.decision, review.at) == (Decision.APPROVED, pull.reviews[1].at)


@each_method
def test_the_101st_review_counts(stage: Stage, method: str) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    for _ in range(99):
        stage.repository.review(pull, stage.alice, "COMMENTED")
    stage.repository.review(pull, stage.bob, "CHANGES_REQUESTED")
    (review,) = stage.request(stage.repository.merge(pull, stage.alice, method)).reviews
    assert review.decision is Decision.CHANGES_REQUESTED


@each_method
def test_a_bot_is_told_as_one_and_its_rights_are_not_asked_for(stage: Stage, method: str) -> None:
    bot = stage.github.hub.person("merge-queue", kind="Bot")
    stage.repository.allow(bot, "write")
    pull = stage.pull()
    stage.repository.review(pull, bot, "APPROVED")
    merged = stage.repository.merge(pull, bot, method)
    stage.github.hub.forget()
    request = stage.request(merged)
    assert request.reviews[0].person.bot
    assert request.merged_by is not None
    assert request.merged_by.bot
    assert not [call for call in stage.github.hub.log if "/collaborators/" in call.path]


@pytest.mark.parametrize(
    ("login", "kind", "bot"),
    [
        ("bob", "User", False),
        ("imported", "Mannequin", True),
        ("robot[bot]", "User", True),
        ("acme", "Organization", True),
    ],
)
def test_whatever_is_no_person_is_a_bot(login: str, kind: str, bot: bool) -> None:
    assert person(answers.Account(id=1, login=login, type=kind)) == Person("1", frozenset({login}), bot=bot)


@pytest.mark.parametrize(
    ("permission", "writes"),
    [("admin", True), ("maintain", True), ("write", True), ("triage", False), ("read", False), ("none", False)],
)
def test_who_may_write_is_asked_for_now(stage: Stage, permission: str, writes: bool) -> None:
    merged = stage.approved()
    stage.repository.allow(stage.bob, permission)
    request = stage.request(merged)
    assert request.merged_by is not None
    assert [request.reviews[0].person.writer, request.merged_by.writer] == [writes, writes]


def test_the_rights_of_a_login_that_another_account_took_are_not_the_persons(stage: Stage) -> None:
    options = GitHubOptions(repository="acme/deploy", url=stage.github.url, token_env="FORGE_TOKEN")
    people = People(connect(options, stage.parts(), answers.unavailable), "github.com")
    bob = Person(str(stage.bob.id), frozenset({"bob"}))
    assert people.speaker(bob, ()).writer
    stage.github.hub.rename(stage.bob, "robert")
    stage.github.hub.team("acme/sre", stage.repository.person("bob", "admin"))
    assert people.speaker(bob, ("@acme/sre",)) == Person(str(stage.bob.id), frozenset({"bob"}), writer=False)


@each_method
def test_somebody_with_a_login_that_was_an_approvers_is_somebody_else(stage: Stage, method: str) -> None:
    merged = stage.approved(method)
    stage.github.hub.rename(stage.bob, "robert")
    other = stage.repository.person("bob")
    request = stage.request(merged)
    assert request.reviews[0].person == Person(str(stage.bob.id), frozenset({"robert"}))
    assert str(other.id) not in ids((request.reviews[0].person, *request.authors))


def test_an_account_that_is_gone_may_write_nothing(stage: Stage) -> None:
    merged = stage.approved()
    stage.github.hub.fail(404, path="/collaborators/")
    assert not stage.request(merged).reviews[0].person.writer


def test_a_review_by_a_deleted_account_is_nobodys(stage: Stage) -> None:
    pull = stage.pull()
    review = stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.alice, "squash")
    gone = [bodies.review(review) | {"user": None}]
    stage.github.hub.fail(200, path="/pulls/1/reviews", body=json.dumps(gone).encode())
    assert stage.request(merged).reviews == ()


def test_a_review_of_a_commit_that_is_gone_is_of_no_head(stage: Stage) -> None:
    pull = stage.pull()
    review = stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.alice, "squash")
    gone = [bodies.review(review) | {"commit_id": None}]
    stage.github.hub.fail(200, path="/pulls/1/reviews", body=json.dumps(gone).encode())
    assert stage.request(merged).reviews[0].head == ""


@each_method
def test_a_merge_by_an_admin_without_an_approval_names_the_admin_alone(stage: Stage, method: str) -> None:
    admin = stage.repository.person("admin", "admin")
    request = stage.request(stage.repository.merge(stage.pull(), admin, method))
    assert request.reviews == ()
    assert request.merged_by == Person(str(admin.id), frozenset({"admin"}))


def test_a_team_that_is_asked_for_is_among_the_names_of_its_members(stage: Stage) -> None:
    carol = stage.repository.person("carol")
    stage.github.hub.team("acme/sre", stage.bob)
    stage.github.hub.team("acme/dev", carol)
    stage.github.hub.team("other/sre", stage.bob)
    pull = stage.pull()
    for who in (stage.bob, carol):
        stage.repository.review(pull, who, "APPROVED")
    merged = stage.repository.merge(pull, stage.alice, "squash")
    request = stage.request(merged, frozenset({"@ACME/sre", "@acme/dev", "@acme/gone", "@acme/x/sre", "@other/sre"}))
    names = {review.person.id: review.person.names for review in request.reviews}
    assert names == {str(stage.bob.id): {"bob", "@ACME/sre"}, str(carol.id): {"carol", "@acme/dev"}}
    assert request.merged_by == Person(str(stage.alice.id), frozenset({"alice"}))
    assert not [call for call in stage.github.hub.log if "/orgs/other/" in call.path]


def test_somebody_who_is_only_invited_to_a_team_is_not_in_it(stage: Stage) -> None:
    merged = stage.approved()
    said = {"url": "https://api.github.com/teams/1/memberships/bob", "role": "member", "state": "pending"}
    stage.github.hub.fail(200, path="/memberships/", body=json.dumps(said).encode())
    assert stage.request(merged, frozenset({"@acme/sre"})).reviews[0].person.names == {"bob"}


def test_authors_have_no_teams_or_whoever_shares_one_would_count_as_an_author(stage: Stage) -> None:
    stage.github.hub.team("acme/sre", stage.alice, stage.bob)
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    request = stage.request(stage.repository.merge(pull, stage.alice, "squash"), frozenset({"@acme/sre"}))
    assert request.authors == (Person(str(stage.alice.id), frozenset({"alice"})),)


# --- what it costs, and when there is no answer ---------------------------------------------------


def paths(stage: Stage) -> list[str]:
    return [call.path.partition("?")[0].removeprefix("/repos/acme/deploy") for call in stage.github.hub.log]


@each_method
def test_the_first_judgement_of_one_change_with_one_approver_takes_seven_requests(stage: Stage, method: str) -> None:
    merged = stage.approved(method)
    stage.github.hub.forget()
    assert stage.facts(merged, repository_id=stage.repository.id).requests
    assert paths(stage) == [
        f"/commits/{merged}/pulls",
        "/pulls/1",
        "/pulls/1/commits",
        "/pulls/1/reviews",
        "/issues/1/events",
        "/activity",
        "/collaborators/bob/permission",
    ]


def test_the_repositorys_number_is_asked_for_once(stage: Stage) -> None:
    merged = stage.approved()
    forge = stage.forge()
    for expected in (8, 7):
        stage.github.hub.forget()
        forge.look_again()
        forge.facts(CommitId(merged))
        assert stage.github.hub.requests == expected


def test_each_team_of_each_approver_takes_one_request_more(stage: Stage) -> None:
    merged = stage.approved()
    stage.github.hub.forget()
    stage.facts(merged, frozenset({"@acme/sre", "@acme/dev"}), repository_id=stage.repository.id)
    assert stage.github.hub.requests == 9


def test_nothing_is_asked_about_whoever_can_not_count(stage: Stage) -> None:
    carol, reader = stage.repository.person("carol"), stage.repository.person("reader", "read")
    pull = stage.pull()
    stage.repository.review(pull, carol, "APPROVED")
    stage.bump("3", "Afterwards")
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.repository.review(pull, stage.bob, "CHANGES_REQUESTED")
    stage.repository.review(pull, reader, "APPROVED")
    merged = stage.repository.merge(pull, stage.bob, "squash")
    stage.github.hub.forget()
    stage.facts(merged, frozenset({"@acme/sre"}))
    asked = [path for path in paths(stage) if "/collaborators/" in path or "/teams/" in path]
    assert asked == ["/collaborators/reader/permission"]


def test_its_events_are_not_asked_for_when_nobody_approved_the_head_and_a_bot_merged(stage: Stage) -> None:
    pull = stage.pull()
    stage.repository.review(pull, stage.bob, "APPROVED")
    stage.bump("3", "Afterwards")
    merged = stage.repository.merge(pull, stage.github.hub.bot("queue[bot]"), "squash")
    stage.github.hub.forget()
    assert stage.facts(merged).requests
    assert "/issues/1/events" not in paths(stage)


def test_a_commit_without_a_pull_request_takes_one_request(stage: Stage) -> None:
    pushed = stage.repository.push(stage.alice, "main", {DEV: "2"}, "Straight in")
    stage.github.hub.forget()
    stage.note(pushed)
    assert stage.github.hub.requests == 1


def test_making_the_forge_asks_nothing(stage: Stage) -> None:
    stage.github.hub.forget()
    assert isinstance(stage.forge(repository_id=7), adapter.GitHubForge)
    assert stage.github.hub.requests == 0


def test_the_repositorys_number_is_there_for_others_once_it_is_known(stage: Stage) -> None:
    merged = stage.approved()
    forge = stage.forge()
    assert isinstance(forge, adapter.GitHubForge)
    assert forge.repository_id is None
    forge.facts(CommitId(merged))
    assert forge.repository_id == stage.repository.id


def down(stage: Stage) -> None:
    stage.github.hub.go_down()


def limited(stage: Stage) -> None:
    stage.github.hub.limit_rate()


def forbidden(stage: Stage) -> None:
    stage.github.hub.fail(403, path="/pulls/1")


@pytest.mark.parametrize("fault", [down, limited, forbidden], ids=["down", "rate limited", "forbidden"])
def test_a_github_without_an_answer_leaves_it_open(stage: Stage, fault: Callable[[Stage], None]) -> None:
    merged = stage.approved()
    forge = stage.forge()
    fault(stage)
    with pytest.raises(Transient) as caught:
        forge.facts(CommitId(merged))
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE


def test_a_review_of_a_kind_that_nobody_knows_leaves_it_open(stage: Stage) -> None:
    pull = stage.pull()
    review = stage.repository.review(pull, stage.bob, "APPROVED")
    merged = stage.repository.merge(pull, stage.bob, "squash")
    strange = [bodies.review(review) | {"state": "BLESSED"}]
    stage.github.hub.fail(200, path="/pulls/1/reviews", body=json.dumps(strange).encode())
    with pytest.raises(Transient, match="can't be understood"):
        stage.facts(merged)


def test_a_failure_in_the_middle_is_made_up_for_by_the_next_question(stage: Stage) -> None:
    merged = stage.approved()
    forge = stage.forge()
    stage.github.hub.fail(502, path="/collaborators/")
    with pytest.raises(Transient):
        forge.facts(CommitId(merged))
    assert forge.facts(CommitId(merged)).requests


# --- settings -------------------------------------------------------------------------------------


def test_a_forge_without_a_repository_or_a_branch_is_refused(stage: Stage) -> None:
    parts = stage.parts()
    nothing = Parts(parts.clock, parts.random, parts.trace, parts.bounds, parts.state, parts.repository)
    with pytest.raises(Terminal, match="needs a repository"):
        adapter.create({"repository": "acme/deploy", "token_env": "FORGE_TOKEN"}, nothing)


@pytest.mark.parametrize(
    "wrong",
    ["https://x/{unknown}", "https://x/{0}", "https://x/{", "ftp://x/{environment}", "javascript:{environment}", "x"],
)
def test_an_address_that_can_not_be_shown_is_refused(wrong: str) -> None:
    good = {"repository": "acme/deploy", "token_env": "FORGE_TOKEN", "log_url": "https://x/{environment}"}
    adapter.GitHubForgeOptions.model_validate(good)
    with pytest.raises(ValidationError):
        adapter.GitHubForgeOptions.model_validate({**good, "log_url": wrong})
