"""Which runs may be promoted: each lie that a run can tell, with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from reconciler.bounds import Bounds
from reconciler.core.declare import Declaration, read
from reconciler.core.provenance import ANY, Provenance, judge_run
from reconciler.errors import IntegrityError, PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.model import Artifact, Digest, Run, RunId
from tests import factories

SHA = Digest("a" * 64)
RULES = Provenance(repositories=("acme/shop",), workflows=("build.yml",))
RUN = replace(
    factories.RUN,
    run_id=RunId(7),
    artifacts=(Artifact("shop", "shop.zip", 10, SHA), Artifact("docs", "docs.zip", 10, None)),
)


def declaration(name: str = "shop") -> Declaration:
    text = (
        f"version: 1\nartifact: {{name: {name}, run_id: 7, sha256: {SHA}}}\ntarget: {{type: directory, path: /a/b}}\n"
    )
    found = read("a.yaml", text.encode()).declaration
    assert found
    return found


def test_an_allowed_run_gives_the_declared_artifact() -> None:
    assert judge_run(RUN, declaration(), RULES, Bounds()).file == "shop.zip"


@pytest.mark.parametrize(
    ("run", "family", "reason"),
    [
        (replace(RUN, repository="evil/shop", head_repository="evil/shop"), PolicyDenied, Reason.RUN_NOT_ALLOWED),
        (replace(RUN, head_repository="evil/shop"), PolicyDenied, Reason.RUN_NOT_ALLOWED),
        (replace(RUN, workflow="evil.yml"), PolicyDenied, Reason.RUN_NOT_ALLOWED),
        (replace(RUN, branch="feature"), PolicyDenied, Reason.RUN_NOT_ALLOWED),
        (replace(RUN, event="pull_request"), PolicyDenied, Reason.RUN_NOT_ALLOWED),
        (replace(RUN, conclusion="failure"), PolicyDenied, Reason.RUN_NOT_SUCCESSFUL),
        (replace(RUN, conclusion="cancelled"), PolicyDenied, Reason.RUN_NOT_SUCCESSFUL),
        (replace(RUN, conclusion="Success"), PolicyDenied, Reason.RUN_NOT_SUCCESSFUL),
        (replace(RUN, conclusion="in_progress"), Transient, Reason.RUN_NOT_SUCCESSFUL),
        (replace(RUN, artifacts=RUN.artifacts[1:]), PolicyDenied, Reason.ARTIFACT_MISSING),
        (replace(RUN, artifacts=(*RUN.artifacts, RUN.artifacts[0])), PolicyDenied, Reason.ARTIFACT_AMBIGUOUS),
        (
            replace(RUN, artifacts=(replace(RUN.artifacts[0], sha256=Digest("b" * 64)),)),
            IntegrityError,
            Reason.DIGEST_MISMATCH,
        ),
        (replace(RUN, artifacts=(replace(RUN.artifacts[0], size=2**40),)), PolicyDenied, Reason.ARTIFACT_TOO_LARGE),
    ],
    ids=[
        "another repository",
        "a fork's code on a branch of our name",
        "another workflow",
        "another branch",
        "another event",
        "failed",
        "cancelled",
        "a conclusion that only looks like success",
        "still running",
        "without the artifact",
        "two artifacts of one name",
        "CI itself says another digest",
        "larger than allowed",
    ],
)
def test_a_run_that_may_not_be_promoted(run: Run, family: type[ReconcilerError], reason: Reason) -> None:
    with pytest.raises(family) as caught:
        judge_run(run, declaration(), RULES, Bounds())
    assert caught.value.reason is reason
    assert caught.value.hint


def test_every_wrong_fact_is_named_at_once() -> None:
    with pytest.raises(PolicyDenied, match=r"workflow 'x', branch 'y'"):
        judge_run(replace(RUN, workflow="x", branch="y"), declaration(), RULES, Bounds())


def test_a_fork_is_refused_although_every_repository_is_allowed() -> None:
    anything = Provenance(repositories=(ANY,), workflows=(ANY,), branches=(ANY,), events=(ANY,))
    with pytest.raises(PolicyDenied, match="a fork's code"):
        judge_run(replace(RUN, head_repository="evil/shop"), declaration(), anything, Bounds())


def test_an_empty_rule_is_no_rule() -> None:
    with pytest.raises(ValidationError):
        Provenance(repositories=(), workflows=("build.yml",))


def test_what_ci_said_nothing_of_is_left_to_the_hash() -> None:
    assert judge_run(RUN, declaration("docs"), RULES, Bounds()).name == "docs"


# --- facts that a hosted CI tells beside those ---------------------------------------------------

BY_ID = Provenance(repositories=("4711",), workflows=("build.yml",))
HOSTED = replace(
    RUN,
    repository="4711",
    head_repository="4711",
    repository_name="acme/shop",
    head_repository_name="acme/shop",
    on_branch=True,
)
EXPIRED = replace(HOSTED, artifacts=(replace(RUN.artifacts[0], expired=True),))


def refusal(run: Run, rules: Provenance = BY_ID) -> PolicyDenied:
    with pytest.raises(PolicyDenied) as caught:
        judge_run(run, declaration(), rules, Bounds())
    return caught.value


def test_a_run_of_an_allowed_id_passes_whatever_its_name_is_now() -> None:
    assert judge_run(replace(HOSTED, repository_name="acme/renamed"), declaration(), BY_ID, Bounds()).name == "shop"


def test_a_commit_that_is_not_on_its_branch_is_named_with_the_branch() -> None:
    said = refusal(replace(HOSTED, on_branch=False))
    assert said.reason is Reason.RUN_NOT_ALLOWED
    assert f"commit {RUN.commit[:12]}" in said.message
    assert "history of the branch 'main' now" in said.message
    assert said.hint


def test_no_rule_allows_a_commit_that_is_not_on_its_branch() -> None:
    anything = Provenance(repositories=(ANY,), workflows=(ANY,), branches=(ANY,), events=(ANY,))
    assert "not in the history" in refusal(replace(HOSTED, on_branch=False), anything).message


def test_a_source_that_can_not_tell_the_branch_is_not_held_to_it() -> None:
    assert judge_run(replace(HOSTED, on_branch=None), declaration(), BY_ID, Bounds()).name == "shop"


def test_a_repository_of_another_id_is_told_by_name_and_id_although_it_took_over_the_name() -> None:
    said = refusal(replace(HOSTED, repository="666", head_repository="666"))
    assert said.message.count("repository acme/shop (id 666)") == 2


def test_a_fork_is_told_by_name_and_id() -> None:
    said = refusal(replace(HOSTED, head_repository="666", head_repository_name="evil/shop"))
    assert "head repository evil/shop (id 666)" in said.message
    assert (
        "head repository evil/shop (id 666) (a fork's code)"
        in refusal(
            replace(HOSTED, head_repository="666", head_repository_name="evil/shop"),
            Provenance(repositories=("4711", "666"), workflows=("build.yml",)),
        ).message
    )


def test_a_head_repository_that_is_gone_is_told_in_words() -> None:
    said = refusal(replace(HOSTED, head_repository="", head_repository_name=""))
    assert "head repository that CI does not name" in said.message


def test_a_rule_that_names_where_ids_are_told_says_which_id_to_write() -> None:
    said = refusal(HOSTED, RULES)
    assert "takes ids" in said.hint
    assert "instead of 'acme/shop'" in said.hint
    assert "the id of acme/shop is '4711' now, so make sure that it is yours" in said.hint


@pytest.mark.parametrize(
    ("run", "rules"),
    [
        (
            replace(HOSTED, workflow="evil.yml"),
            Provenance(repositories=("4711", "acme/docs"), workflows=("build.yml",)),
        ),
        (replace(HOSTED, repository="666", head_repository="666"), BY_ID),
        (replace(RUN, repository="evil/shop", head_repository="evil/shop"), RULES),
    ],
    ids=["the id is allowed, the workflow is not", "no rule names a repository", "a source that tells no ids"],
)
def test_ids_are_not_spoken_of_where_they_would_not_help(run: Run, rules: Provenance) -> None:
    assert "takes ids" not in refusal(run, rules).hint


def test_an_expired_artifact_is_refused_unless_our_own_copy_is_there() -> None:
    said = refusal(EXPIRED)
    assert said.reason is Reason.ARTIFACT_EXPIRED
    assert "'shop' of run 7 expired" in said.message
    assert "newer run" in said.hint
    assert judge_run(EXPIRED, declaration(), BY_ID, Bounds(), in_custody=True).name == "shop"


def test_our_own_copy_excuses_nothing_but_expiry() -> None:
    with pytest.raises(PolicyDenied, match="not in the history"):
        judge_run(replace(EXPIRED, on_branch=False), declaration(), BY_ID, Bounds(), in_custody=True)


@pytest.mark.parametrize("in_custody", [False, True])
def test_an_altered_digest_is_told_before_the_expiry(in_custody: bool) -> None:
    altered = replace(EXPIRED, artifacts=(replace(EXPIRED.artifacts[0], sha256=Digest("b" * 64)),))
    with pytest.raises(IntegrityError):
        judge_run(altered, declaration(), BY_ID, Bounds(), in_custody=in_custody)
