"""Answers on workflow runs and artifacts. Bytes come from storage, where a redirect leads."""

from __future__ import annotations

from tests.github import bodies
from tests.github.ci import Artifact, Run
from tests.github.routing import Answer, Page, Problem, Request, route
from tests.github.state import Json

_ACTIONS = "/repos/{owner}/{repo}/actions"
_RUN = f"GET {_ACTIONS}/runs/{{run_id}}"


@route("GET", f"{_ACTIONS}/runs/{{id}}")
def run(request: Request) -> Json:
    return workflow_run(_run(request))


@route("GET", f"{_ACTIONS}/runs/{{id}}/artifacts")
def artifacts(request: Request) -> Page:
    """docs: 'List workflow run artifacts'; newest first, by `name` when that is asked."""
    found = [one for one in _run(request).artifacts if request.query.get("name", one.name) == one.name]
    return Page(found[::-1], lambda one: _artifact(request, one), key="artifacts")


@route("GET", f"{_ACTIONS}/artifacts")
def all_artifacts(request: Request) -> Page:
    """docs: 'List artifacts for a repository'."""
    found = [one for run in request.repository.runs.values() for one in run.artifacts]
    return Page(found[::-1], lambda one: _artifact(request, one), key="artifacts")


@route("GET", f"{_ACTIONS}/artifacts/{{id}}/{{format}}")
def download(request: Request) -> Answer:
    """docs: 'Download an artifact': `format` is zip; the link in the answer lives for a minute."""
    wanted = int(request.part["id"])
    for one in request.repository.runs.values():
        for artifact in one.artifacts:
            if artifact.id == wanted and request.part["format"] == "zip":
                if artifact.expired:
                    raise Problem(410, "Artifact has expired")
                return Answer(None, 302, {"Location": request.hub.storage.link(str(artifact.id), artifact.zip)})
    raise Problem(404, "Not Found")


def _run(request: Request) -> Run:
    found = request.repository.runs.get(int(request.part["id"]))
    if found is None:
        raise Problem(404, "Not Found")
    return found


def workflow_run(one: Run) -> Json:
    """Schema `workflow-run`."""
    repository, hub = one.repository, one.repository.hub
    found = bodies.over(repository, _RUN, {})
    made = bodies.commit(one.head_repository, one.commit)
    who = hub.by_email(made["commit"]["author"]["email"]) or hub.operator
    head = {key: made["commit"][key] for key in ("message", "author", "committer")}
    return found | {
        "id": one.id,
        "node_id": bodies.node_id("WorkflowRun", one.id),
        "name": "Build",
        "path": one.workflow,
        "display_title": head["message"].split("\n")[0],
        "head_branch": one.branch,
        "head_sha": one.commit,
        "event": one.event,
        "status": one.status,
        "conclusion": one.conclusion,
        "run_number": len(repository.runs),
        "run_attempt": one.attempt,
        "pull_requests": [],
        "created_at": bodies.moment(one.created),
        "updated_at": bodies.moment(one.updated),
        "run_started_at": bodies.moment(one.updated),
        "actor": bodies.account(hub, who),
        "triggering_actor": bodies.account(hub, who),
        "url": f"{hub.public_url}/repos/{repository.name}/actions/runs/{one.id}",
        "html_url": f"https://github.com/{repository.name}/actions/runs/{one.id}",
        "head_commit": {
            "id": one.commit,
            "tree_id": made["commit"]["tree"]["sha"],
            "message": head["message"],
            "timestamp": head["committer"]["date"],
            "author": {key: head["author"][key] for key in ("name", "email")},
            "committer": {key: head["committer"][key] for key in ("name", "email")},
        },
        "repository": bodies.repository_(repository),
        "head_repository": bodies.repository_(one.head_repository),
    }


def _artifact(request: Request, one: Artifact) -> Json:
    url = f"{request.hub.public_url}/repos/{request.repository.name}/actions/artifacts/{one.id}"
    return {
        "id": one.id,
        "node_id": bodies.node_id("Artifact", one.id),
        "name": one.name,
        "size_in_bytes": len(one.zip),
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": one.expired,
        "created_at": bodies.moment(one.created),
        "updated_at": bodies.moment(one.created),
        "expires_at": bodies.moment(one.expires),
        "digest": one.digest,
        "workflow_run": {
            "id": one.run.id,
            "repository_id": one.run.repository.id,
            "head_repository_id": one.run.head_repository.id,
            "head_branch": one.run.branch,
            "head_sha": one.run.commit,
        },
    }
