"""What every `ports.Forge` must say, run on signed merges made with real keys, and on pull requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Terminal
from reconciler.forges import github as github_forge
from reconciler.forges import signed_merge
from reconciler.git import Mirror
from reconciler.machine.clock import SystemClock
from reconciler.model import CommitId, Decision, Proposal
from reconciler.ports import Forge, Parts
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.gitworld import GitWorld
from tests.simulation.faults import Faults
from tests.simulation.origins import FakeForge

DEV = "environments/dev.yaml"
TOKEN = "FORGE_TOKEN_OF_THE_CONTRACT"
Create = Callable[[Mapping[str, object], Parts], Forge]


@dataclass(frozen=True)
class Landed:
    """A change that one person wrote and another let in."""

    commit: CommitId
    head: CommitId
    author: str
    approver: str
    ref: str


class Scene(ABC):
    """A repository with one commit on `main`, and a forge that looks at it."""

    url: str
    create: Create
    options: Mapping[str, object]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def parts(self, repository: bool = True) -> Parts:
        bounds = Bounds()
        mirror = Mirror(self.url, "main", "environments", self.folder / "state" / "git", bounds, lambda _: None)
        if tip := mirror.head():
            mirror.fetch(tip)
        known = (mirror, "main") if repository else (None, "")
        return Parts(SystemClock(), Random(0), lambda _: None, bounds, self.folder / "state", *known)

    def forge(self) -> Forge:
        return self.create(self.options, self.parts())

    @abstractmethod
    def land(self) -> Landed:
        """Let a change in, with the subject `Bump dev`."""

    @abstractmethod
    def push(self) -> CommitId:
        """Put a change straight onto the branch."""

    @abstractmethod
    def branch(self, name: str) -> None:
        """Publish a branch with a change in it."""


class SignedMerges(Scene):
    """Merge commits, signed by the reviewer."""

    create = staticmethod(signed_merge.create)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.world = GitWorld(folder / "world")
        self.url = self.world.url
        self.alice, self.bob = self.world.person("alice"), self.world.person("bob")
        self.options = {"allowed_signers": str(self.world.allowed_signers)}
        self.world.write(DEV, "1").commit(self.alice, "Begin").push()

    def land(self) -> Landed:
        head = self.world.branch("bump").write(DEV, "2").commit(self.alice, "Bump", sign=True).tip
        merge = self.world.merge("bump", signer=self.bob, message="Bump dev\n\nDetails").push().tip
        return Landed(merge, head, self.alice.email, self.bob.email, f"merge {merge[:12]}")

    def push(self) -> CommitId:
        return self.world.direct_push(self.alice, DEV, "2").tip

    def branch(self, name: str) -> None:
        self.world.branch(name).write(DEV, name).commit(self.alice, "Change", sign=True).switch("main")


class PullRequests(Scene):
    """Pull requests on a GitHub of our own."""

    create = staticmethod(github_forge.create)

    def __init__(self, folder: Path, github: GitHub) -> None:  # noqa: F811
        super().__init__(folder)
        self.repository = github.hub.repository("acme/deploy", folder / "hub")
        self.url = self.repository.git_url
        self.alice, self.bob = self.repository.person("alice"), self.repository.person("bob")
        self.options = {"repository": "acme/deploy", "url": github.url, "token_env": TOKEN}
        self.repository.push(self.alice, "main", {DEV: "1"}, "Begin")

    def land(self) -> Landed:
        head = CommitId(self.repository.push(self.alice, "bump", {DEV: "2"}, "Bump"))
        pull = self.repository.open_pull(self.alice, "bump", title="Bump dev")
        self.repository.review(pull, self.bob, "APPROVED")
        merge = CommitId(self.repository.merge(pull, self.bob, "merge"))
        return Landed(merge, head, str(self.alice.id), str(self.bob.id), f"#{pull.number}")

    def push(self) -> CommitId:
        return CommitId(self.repository.push(self.alice, "main", {DEV: "2"}, "Straight in"))

    def branch(self, name: str) -> None:
        self.repository.push(self.alice, name, {DEV: name}, "Change")


@pytest.fixture(params=["signed_merge", "github"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    if request.param == "signed_merge":
        return SignedMerges(tmp_path)
    served: GitHub = request.getfixturevalue("github")
    monkeypatch.setenv(TOKEN, served.token)
    return PullRequests(tmp_path, served)


def test_an_approved_change_names_its_head_its_authors_and_who_approved(scene: Scene) -> None:
    landed = scene.land()
    facts = scene.forge().facts(landed.commit)
    (request,) = facts.requests
    assert (facts.commit, request.merged_as, request.head) == (landed.commit, landed.commit, landed.head)
    assert (request.ref, request.title) == (landed.ref, "Bump dev")
    assert [(review.person.id, review.head, review.decision) for review in request.reviews] == [
        (landed.approver, landed.head, Decision.APPROVED)
    ]
    assert request.merged_by == request.reviews[0].person
    assert {person.id for person in request.authors} - {f"email:{landed.author}"} == {landed.author}
    assert request.unproven_authors == ()
    assert request.landed in ((), (landed.commit,))
    assert request.retargeted is None


def test_whoever_approved_may_write_and_is_no_bot(scene: Scene) -> None:
    merge = scene.land().commit
    (request,) = scene.forge().facts(merge, frozenset({"@acme/nobody"})).requests
    person = request.reviews[0].person
    assert (person.writer, person.bot, [name for name in person.names if name.startswith("@")]) == (True, False, [])


def test_a_commit_that_nobody_approved_has_no_request_and_says_why(scene: Scene) -> None:
    pushed = scene.push()
    facts = scene.forge().facts(pushed)
    assert (facts.commit, facts.requests) == (pushed, ())
    assert facts.note
    assert facts.how


def test_the_same_question_has_the_same_answer(scene: Scene) -> None:
    merge = scene.land().commit
    one = scene.forge()
    assert one.facts(merge) == one.facts(merge) == scene.forge().facts(merge)


def test_a_forge_without_a_repository_is_a_mistake_in_the_settings(scene: Scene) -> None:
    with pytest.raises(Terminal, match="needs a repository"):
        scene.create(scene.options, scene.parts(repository=False))


def _proposes_once(forge: Forge) -> None:
    first = forge.propose(Proposal("promote/prod/run-102", "main", "Promote prod to run 102", "why"))
    again = forge.propose(Proposal("promote/prod/run-102", "main", "Promote prod to run 102", "why, told better"))
    assert first == again
    assert forge.proposed("promote/prod/run-102") == (first is not None)
    assert not forge.proposed("promote/dev/run-102")
    other = forge.propose(Proposal("promote/dev/run-102", "main", "Promote dev to run 102", "why"))
    assert other is None if first is None else other != first


def test_a_branch_proposed_twice_has_one_place_or_none(scene: Scene) -> None:
    for name in ("promote/prod/run-102", "promote/dev/run-102"):
        scene.branch(name)
    _proposes_once(scene.forge())


def test_the_fake_proposes_as_the_real_ones_do() -> None:
    _proposes_once(FakeForge(Faults()))


def test_a_forge_without_pull_requests_shows_nothing_anywhere_and_needs_no_teams(tmp_path: Path) -> None:
    scene = SignedMerges(tmp_path)
    merge = scene.land().commit
    one = scene.forge()
    assert (one.pull_requests, one.deployments) == (None, None)
    assert one.facts(merge, frozenset({"@acme/sre"})) == one.facts(merge)


def test_plans_and_rollouts_are_shown_at_both_places_or_at_none(scene: Scene) -> None:
    forge = scene.forge()
    assert (forge.pull_requests is None) == (forge.deployments is None)
