"""What every `ports.Forge` must say, run on signed merges made with real keys of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.clock import SystemClock
from reconciler.forges import signed_merge
from reconciler.git import Mirror
from reconciler.model import CommitId, Decision, Proposal
from reconciler.ports import Forge, Parts
from tests.gitworld import Author, GitWorld
from tests.simulation.faults import Faults
from tests.simulation.origins import FakeForge

DEV = "environments/dev.yaml"


def open_forge(world: GitWorld, folder: Path, options: Mapping[str, object]) -> Forge:
    bounds = Bounds()
    repository = Mirror(world.url, "main", "environments", folder / "state" / "git", bounds, lambda _: None)
    tip = repository.head()
    if tip:
        repository.fetch(tip)
    return signed_merge.create(
        options, Parts(SystemClock(), Random(0), lambda _: None, bounds, folder / "state", repository)
    )


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path / "world")


@pytest.fixture
def forge(world: GitWorld, tmp_path: Path) -> Callable[[], Forge]:
    return lambda: open_forge(world, tmp_path, {"allowed_signers": str(world.allowed_signers)})


@pytest.fixture
def people(world: GitWorld) -> tuple[Author, Author]:
    return world.person("alice"), world.person("bob")


def begin(world: GitWorld, author: Author) -> CommitId:
    return world.write(DEV, "1").commit(author, "Begin").push().tip


def test_an_approved_change_names_its_head_its_authors_and_who_approved(
    world: GitWorld, forge: Callable[[], Forge], people: tuple[Author, Author]
) -> None:
    alice, bob = people
    begin(world, alice)
    head = world.branch("bump").write(DEV, "2").commit(alice, "Bump", sign=True).tip
    merge = world.merge("bump", signer=bob, message="Bump dev\n\nDetails").push().tip
    facts = forge().facts(merge)
    (request,) = facts.requests
    assert (facts.commit, request.merged_as, request.head) == (merge, merge, head)
    assert (request.ref, request.title) == (f"merge {merge[:12]}", "Bump dev")
    assert [(review.person.id, review.head, review.decision) for review in request.reviews] == [
        (bob.email, head, Decision.APPROVED)
    ]
    assert request.merged_by == request.reviews[0].person
    assert {person.id for person in request.authors} == {alice.email, f"email:{alice.email}"}
    assert request.unproven_authors == ()


def test_a_commit_that_nobody_approved_has_no_request_and_says_why(
    world: GitWorld, forge: Callable[[], Forge], people: tuple[Author, Author]
) -> None:
    begin(world, people[0])
    pushed = world.direct_push(people[0], DEV, "2").tip
    facts = forge().facts(pushed)
    assert (facts.commit, facts.requests) == (pushed, ())
    assert facts.note


def test_the_same_question_has_the_same_answer(
    world: GitWorld, forge: Callable[[], Forge], people: tuple[Author, Author]
) -> None:
    alice, bob = people
    begin(world, alice)
    world.branch("bump").write(DEV, "2").commit(alice, "Bump", sign=True)
    merge = world.merge("bump", signer=bob).push().tip
    one = forge()
    assert one.facts(merge) == one.facts(merge) == forge().facts(merge)


@pytest.mark.parametrize("kind", ["signed_merge", "the fake"])
def test_a_branch_proposed_twice_has_one_place_or_none(
    kind: str, forge: Callable[[], Forge], people: tuple[Author, Author], world: GitWorld
) -> None:
    begin(world, people[0])
    one: Forge = forge() if kind == "signed_merge" else FakeForge(Faults())
    first = one.propose(Proposal("promote/prod/run-102", "main", "Promote prod to run 102", "why"))
    again = one.propose(Proposal("promote/prod/run-102", "main", "Promote prod to run 102", "why, told better"))
    assert first == again
    other = one.propose(Proposal("promote/dev/run-102", "main", "Promote dev to run 102", "why"))
    assert other is None if first is None else other != first
