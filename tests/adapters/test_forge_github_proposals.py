"""The one pull request of a branch: opened, brought up to date, or told in words why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import CredentialsNeeded, Reason, Transient
from reconciler.forges.github import answers
from reconciler.forges.github.proposals import Proposals
from reconciler.github import GitHubOptions, connect
from reconciler.machine.clock import SystemClock
from reconciler.model import Proposal
from reconciler.ports import Parts
from tests.github import bodies
from tests.github.plugin import GitHub, github, hub_repository, referee  # noqa: F401 - fixtures
from tests.github.repository import HubRepository

BRANCH = "promote/prod/run-102"
PROPOSAL = Proposal(BRANCH, "main", "Promote prod to run 102", "| run | 102 |\n\nUndo: `reconciler rollback prod`\n")


@pytest.fixture
def proposals(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proposals:  # noqa: F811
    monkeypatch.setenv("FORGE_TOKEN", github.token)
    options = GitHubOptions(repository="acme/deploy", url=github.url, token_env="FORGE_TOKEN")
    parts = Parts(SystemClock(), Random(0), lambda _: None, Bounds(), tmp_path)
    return Proposals(connect(options, parts, answers.unavailable))


@pytest.fixture
def repository(hub_repository: HubRepository) -> HubRepository:  # noqa: F811
    """With the branch, pushed."""
    hub_repository.push(hub_repository.person("alice"), BRANCH, {"environments/prod.yaml": "102"}, "Promote prod")
    return hub_repository


def test_a_branch_gets_one_pull_request(proposals: Proposals, repository: HubRepository) -> None:
    url = proposals.propose(PROPOSAL)
    (pull,) = repository.pulls
    assert (pull.title, pull.body, pull.head, pull.base) == (PROPOSAL.title, PROPOSAL.body, BRANCH, "main")
    assert url == f"https://github.com/acme/deploy/pull/{pull.number}"


def test_opening_one_takes_one_request(proposals: Proposals, repository: HubRepository) -> None:
    repository.hub.forget()
    proposals.propose(PROPOSAL)
    assert [call.method for call in repository.hub.log] == ["POST"]


def test_the_same_again_changes_nothing(proposals: Proposals, repository: HubRepository) -> None:
    url = proposals.propose(PROPOSAL)
    repository.pulls[0].body = PROPOSAL.body.replace("\n", "\r\n")  # as GitHub's pages store what was edited there
    repository.hub.forget()
    assert proposals.propose(PROPOSAL) == url
    assert [call.method for call in repository.hub.log] == ["POST", "GET"]
    assert len(repository.pulls) == 1


@pytest.mark.parametrize("field", ["title", "body"])
def test_other_words_are_put_into_the_one_that_is_open(
    proposals: Proposals, repository: HubRepository, field: str
) -> None:
    url = proposals.propose(PROPOSAL)
    setattr(repository.pulls[0], field, "Before")
    assert proposals.propose(PROPOSAL) == url
    (pull,) = repository.pulls
    assert (pull.title, pull.body) == (PROPOSAL.title, PROPOSAL.body)


@pytest.mark.parametrize("end", ["open", "closed", "merged", "closed, its branch deleted", "pointed at another base"])
def test_one_that_was_ever_opened_is_known_whatever_became_of_it(
    proposals: Proposals, repository: HubRepository, end: str
) -> None:
    assert not proposals.proposed(BRANCH)
    proposals.propose(PROPOSAL)
    (pull,), alice = repository.pulls, repository.pulls[0].author
    if end == "merged":
        repository.merge(pull, alice)
    elif end == "pointed at another base":
        repository.push(alice, "other", {"x": "y"}, "Other")
        repository.retarget(pull, "other")
    elif end != "open":
        repository.close(pull)
    if end.endswith("deleted"):
        repository.delete_branch(alice, BRANCH)
    repository.hub.forget()
    assert proposals.proposed(BRANCH)
    assert len(repository.hub.log) == 1
    assert not proposals.proposed(BRANCH + "0")


def test_whether_one_was_opened_is_not_guessed_while_github_hides_it(
    proposals: Proposals, repository: HubRepository
) -> None:
    repository.hub.fail(404, path="/pulls")
    with pytest.raises(CredentialsNeeded, match="shows no repository acme/deploy"):
        proposals.proposed(BRANCH)


def test_one_that_was_closed_is_left_alone(proposals: Proposals, repository: HubRepository) -> None:
    first = proposals.propose(PROPOSAL)
    repository.close(repository.pulls[0])
    assert proposals.propose(PROPOSAL) != first
    assert [pull.state for pull in repository.pulls] == ["closed", "open"]


def test_one_that_was_closed_later_is_not_taken_for_the_open_one(
    proposals: Proposals, repository: HubRepository
) -> None:
    first = proposals.propose(PROPOSAL)
    repository.close(repository.pulls[0])
    proposals.propose(PROPOSAL)
    repository.close(repository.pulls[1])
    repository.pulls[0].state = "open"
    assert proposals.propose(PROPOSAL) == first


def test_the_pull_request_of_a_fork_with_a_branch_of_that_name_is_not_ours(
    proposals: Proposals, repository: HubRepository
) -> None:
    mallory = repository.hub.person("mallory")
    theirs = repository.fork_pull(mallory, {"x": "y"}, "Mine", branch=BRANCH)
    said = json.dumps([bodies.pull_in_list(theirs)]).encode()
    repository.hub.fail(422, path="/pulls", method="POST")
    repository.hub.fail(200, path="/pulls?", method="GET", body=said)
    with pytest.raises(Transient, match="GitHub opens no pull request"):
        proposals.propose(PROPOSAL)


def test_a_branch_without_anything_new_is_told_so(proposals: Proposals, repository: HubRepository) -> None:
    repository.force_push(repository.person("bob"), "main", repository.tip(BRANCH))
    with pytest.raises(Transient) as caught:
        proposals.propose(PROPOSAL)
    said = f"the branch {BRANCH} holds nothing that main lacks, so there is nothing to merge"
    assert (caught.value.message, type(caught.value)) == (said, Transient)


def test_a_branch_that_is_not_there_is_told_so(proposals: Proposals, hub_repository: HubRepository) -> None:  # noqa: F811
    with pytest.raises(Transient) as caught:
        proposals.propose(PROPOSAL)
    assert "422" in caught.value.message
    assert caught.value.hint == f"look whether {BRANCH} and main are branches of the repository at GitHub"


def forbidden(repository: HubRepository) -> None:
    headers = {"X-Accepted-GitHub-Permissions": "pull_requests=write"}
    repository.hub.fail(403, path="/pulls", method="POST", headers=headers)


def unknown(repository: HubRepository) -> None:
    repository.hub.fail(401, times=2, path="/pulls", method="POST")


def hidden(repository: HubRepository) -> None:
    repository.hub.fail(404, path="/pulls", method="POST")


@pytest.mark.parametrize("fault", [forbidden, hidden], ids=["forbidden", "hidden"])
def test_a_credential_that_may_not_is_told_what_it_lacks(
    proposals: Proposals, repository: HubRepository, fault: Callable[[HubRepository], None]
) -> None:
    fault(repository)
    with pytest.raises(CredentialsNeeded) as caught:
        proposals.propose(PROPOSAL)
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert "pull_requests=write" in caught.value.hint
    assert [call.method for call in repository.hub.log if "/pulls" in call.path] == ["POST"]


def test_a_credential_that_is_none_is_needed_anew(proposals: Proposals, repository: HubRepository) -> None:
    unknown(repository)
    with pytest.raises(CredentialsNeeded, match="401"):
        proposals.propose(PROPOSAL)


def test_a_credential_that_may_not_edit_is_told_so(proposals: Proposals, repository: HubRepository) -> None:
    proposals.propose(PROPOSAL)
    repository.pulls[0].title = "Before"
    repository.hub.fail(403, path="/pulls/1", method="PATCH")
    with pytest.raises(CredentialsNeeded):
        proposals.propose(PROPOSAL)


def test_a_github_that_is_down_is_asked_again_later(proposals: Proposals, repository: HubRepository) -> None:
    repository.hub.go_down()
    with pytest.raises(Transient) as caught:
        proposals.propose(PROPOSAL)
    assert not isinstance(caught.value, CredentialsNeeded)
    repository.hub.come_up()
    proposals.propose(PROPOSAL)
    assert len(repository.pulls) == 1
