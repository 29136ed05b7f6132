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
