"""Whether a CI run may be promoted, and which of its artifacts is meant: by the operator's rules alone.

A pull request names a run; it can't choose who may build. An empty rule allows nothing.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from reconciler.bounds import Bounds
from reconciler.core.declare import Declaration
from reconciler.errors import IntegrityError, PolicyDenied, Reason, Transient
from reconciler.model import Artifact, Run

ANY = "*"
"""Allows every value of a field; to be written out, since leaving it out allows none."""

_WAITING = frozenset({"", "queued", "in_progress", "pending", "requested", "waiting"})


class Provenance(BaseModel):
    """What may produce artifacts for one source. Each list allows exactly its members; `*` allows all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repositories: tuple[str, ...] = Field(min_length=1, description="repositories whose runs may be promoted")
    workflows: tuple[str, ...] = Field(min_length=1, description="workflows that may build")
    branches: tuple[str, ...] = Field(("main",), min_length=1, description="branches that may be built")
    events: tuple[str, ...] = Field(("push",), min_length=1, description="events that may start the run")


def judge_run(
    run: Run, declaration: Declaration, rules: Provenance, bounds: Bounds, *, in_custody: bool = False
) -> Artifact:
    """The declared artifact of an allowed run.

    Args:
        run: What CI says of it.
        declaration: Names the artifact and its digest.
        rules: The operator's.
        bounds: Limits in force.
        in_custody: Whether our own copy of the declared bytes is there: then CI may have thrown its own away.

    Raises:
        Transient: `RunNotSuccessful`, when it has not ended yet.
        PolicyDenied: `RunNotSuccessful`, `RunNotAllowed`, `ArtifactMissing`, `ArtifactAmbiguous`, `ArtifactTooLarge`,
            `ArtifactExpired`.
        IntegrityError: `DigestMismatch`, when CI itself says another digest than the declared one.
    """
    _ended_well(run)
    _allowed(run, rules)
    artifact = _named(run, declaration.artifact.name)
    _fits(run, artifact, declaration, bounds)
    if artifact.expired and not in_custody:
        raise artifact_expired(run, artifact)
    return artifact


def artifact_expired(run: Run, artifact: Artifact) -> PolicyDenied:
    """CI still names an artifact, and has thrown its bytes away."""
    return PolicyDenied(
        Reason.ARTIFACT_EXPIRED,
        f"artifact {artifact.name!r} of run {run.run_id} expired: CI still names it, and serves its bytes no more",
        "promote a newer run; what is taken into custody before CI's retention ends stays deployable",
    )


def _fits(run: Run, artifact: Artifact, declaration: Declaration, bounds: Bounds) -> None:
    if artifact.size > bounds.artifact_bytes:
        raise PolicyDenied(
            Reason.ARTIFACT_TOO_LARGE,
            f"artifact {artifact.name!r} of run {run.run_id} has {artifact.size} bytes, "
            f"more than the allowed {bounds.artifact_bytes}",
            "raise bounds.artifact_bytes in the settings if it is meant to be so large",
        )
    if artifact.sha256 is not None and artifact.sha256 != declaration.sha256:
        raise IntegrityError(
            Reason.DIGEST_MISMATCH,
            f"CI stored artifact {artifact.name!r} of run {run.run_id} with sha256 {artifact.sha256}, "
            f"declared is {declaration.sha256}",
            "declare the digest that the CI run printed, or find out who altered the artifact",
        )


def _ended_well(run: Run) -> None:
    if run.conclusion == "success":
        return
    if run.conclusion in _WAITING:
        message = f"run {run.run_id} has not ended yet"
        raise Transient(Reason.RUN_NOT_SUCCESSFUL, message, "it is looked at again by itself")
    raise PolicyDenied(
        Reason.RUN_NOT_SUCCESSFUL,
        f"run {run.run_id}, attempt {run.attempt}, ended with {run.conclusion!r}",
        "declare a run that succeeded",
    )


def _allowed(run: Run, rules: Provenance) -> None:
    facts = (
        ("repository", run.repository, rules.repositories, run.repository_name),
        ("head repository", run.head_repository, rules.repositories, run.head_repository_name),
        ("workflow", run.workflow, rules.workflows, ""),
        ("branch", run.branch, rules.branches, ""),
        ("event", run.event, rules.events, ""),
    )
    wrong = [
        f"{what} {_told(found, name)}"
        for what, found, allowed, name in facts
        if ANY not in allowed and found not in allowed
    ]
    if run.head_repository != run.repository and not any("repository" in word for word in wrong):
        wrong.append(f"head repository {_told(run.head_repository, run.head_repository_name)} (a fork's code)")
    if wrong:
        raise PolicyDenied(
            Reason.RUN_NOT_ALLOWED,
            f"run {run.run_id} comes from {', '.join(wrong)}, which the operator does not allow",
            _hint(run, rules),
        )
    if run.on_branch is False:
        raise PolicyDenied(
            Reason.RUN_NOT_ALLOWED,
            f"run {run.run_id} was built from commit {run.commit[:12]}, which is not in the history of the branch "
            f"{run.branch!r} now",
            "declare a run of a commit that is on the branch: a tag's of the same name, a fork's, "
            "or one that was force-pushed away is not",
        )


def _told(found: str, name: str) -> str:
    """A fact for people: an id with the name that it has now."""
    if not found:
        return "that CI does not name"
    return f"{name} (id {found})" if name else repr(found)


def _hint(run: Run, rules: Provenance) -> str:
    """What to do about a run that is not allowed; first of all, when rules name where this source tells ids."""
    named = [rule for rule in rules.repositories if "/" in rule]
    if run.repository_name and run.repository not in rules.repositories and named:
        return (
            f"sources.<name>.provenance.repositories takes ids here, as a name can pass to somebody else's repository: "
            f"write the id instead of {', '.join(map(repr, named))}; the id of {run.repository_name} is "
            f"{run.repository!r} now, so make sure that it is yours"
        )
    return (
        "declare a run of an allowed repository, workflow, branch and event; "
        "the rules stand in the settings under sources.<name>.provenance"
    )


def _named(run: Run, name: str) -> Artifact:
    found = [artifact for artifact in run.artifacts if artifact.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"run {run.run_id} has {len(found)} artifacts named {name!r}"
        hint = "give each artifact of a run its own name in CI; if a re-run stored it again, start a new run instead"
        raise PolicyDenied(Reason.ARTIFACT_AMBIGUOUS, message, hint)
    names = ", ".join(sorted({artifact.name for artifact in run.artifacts})[:10]) or "none"
    message = f"run {run.run_id} has no artifact named {name!r}; it has: {names}"
    raise PolicyDenied(Reason.ARTIFACT_MISSING, message, "declare one that the run stored")
