"""Answers on what is told: comments, commit statuses, deployments and how far they are."""

from __future__ import annotations

from tests.github import bodies
from tests.github.routing import Answer, Page, Problem, Request, route
from tests.github.state import Comment, Deployment, DeploymentStatus, Json, Status

_REPOSITORY = "/repos/{owner}/{repo}"
_LONGEST = 140
"""docs: 'Create a deployment status', `description`: at most 140 characters; the same holds for commit statuses."""
_COMMENT_LONGEST = 65_536
_STATUSES_MOST = 1000
"""docs: 'Create a commit status': at most 1000 for one commit and context."""


@route("GET", f"{_REPOSITORY}/issues/{{number}}/comments")
def comments(request: Request) -> Page:
    return Page(request.pull.comments, lambda one: _comment(request, one))


@route("POST", f"{_REPOSITORY}/issues/{{number}}/comments")
def add_comment(request: Request) -> Answer:
    pull, text = request.pull, _text(request)
    return Answer(_comment(request, pull.repository.comment(pull, request.who, text)), 201)


@route("GET", f"{_REPOSITORY}/issues/comments/{{id}}")
def one_comment(request: Request) -> Json:
    return _comment(request, _found(request))


@route("PATCH", f"{_REPOSITORY}/issues/comments/{{id}}")
def edit_comment(request: Request) -> Json:
    comment = _found(request)
    comment.body, comment.updated = _text(request), request.hub.now()
    return _comment(request, comment)


@route("DELETE", f"{_REPOSITORY}/issues/comments/{{id}}")
def delete_comment(request: Request) -> Answer:
    comment = _found(request)
    request.repository.pulls[comment.number - 1].comments.remove(comment)
    return Answer(status=204)


def _text(request: Request) -> str:
    text = request.json().get("body", "")
    if not text:
        raise Problem(422, "Validation Failed", "body can't be blank", field="body", resource="IssueComment")
    if len(text) > _COMMENT_LONGEST:
        detail = f"body is too long (maximum is {_COMMENT_LONGEST} characters)"
        raise Problem(422, "Validation Failed", detail, field="body", resource="IssueComment")
    return str(text)


def _found(request: Request) -> Comment:
    for pull in request.repository.pulls:
        for comment in pull.comments:
            if comment.id == int(request.part["id"]):
                return comment
    raise Problem(404, "Not Found")


def _comment(request: Request, one: Comment) -> Json:
    repository = request.repository
    issue = f"repos/{repository.name}/issues"
    page = f"https://github.com/{repository.name}/pull/{one.number}#issuecomment-{one.id}"
    return {
        "id": one.id,
        "node_id": bodies.node_id("IssueComment", one.id),
        "url": f"{request.hub.public_url}/{issue}/comments/{one.id}",
        "html_url": page,
        "issue_url": f"{request.hub.public_url}/{issue}/{one.number}",
        "body": one.body,
        "user": bodies.account(request.hub, one.author),
        "created_at": bodies.moment(one.created),
        "updated_at": bodies.moment(one.updated),
        "author_association": "COLLABORATOR",
    }


@route("GET", f"{_REPOSITORY}/commits/{{ref}}/statuses")
def statuses(request: Request) -> Page:
    repository = request.repository
    name = repository.bare.resolve(request.part["ref"])
    return Page(repository.statuses(name) if name else [], lambda one: _status(request, one))


@route("POST", f"{_REPOSITORY}/statuses/{{sha}}")
def add_status(request: Request) -> Answer:
    repository, asked, sha = request.repository, request.json(), request.part["sha"]
    if len(sha) != 40 or repository.bare.resolve(sha) != sha:
        raise Problem(422, f"No commit found for SHA: {sha}")
    _short(asked.get("description"), "Status")
    context = asked.get("context", "default")
    if sum(one.context == context for one in repository.statuses(sha)) >= _STATUSES_MOST:
        raise Problem(422, "Validation Failed", "This SHA and context has reached the maximum number of statuses.")
    words = (asked.get("description"), asked.get("target_url"))
    status = Status(request.hub.new_id(), sha, request.who, asked["state"], context, *words, request.hub.now())
    repository.add_status(status)
    return Answer(_status(request, status), 201)


def _short(text: str | None, resource: str) -> None:
    if text and len(text) > _LONGEST:
        detail = f"description is too long (maximum is {_LONGEST} characters)"
        raise Problem(422, "Validation Failed", detail, field="description", resource=resource)


def _status(request: Request, one: Status) -> Json:
    creator = bodies.account(request.hub, one.account)
    return {
        "url": f"{request.hub.public_url}/repos/{request.repository.name}/statuses/{one.commit}",
        "avatar_url": creator["avatar_url"],
        "id": one.id,
        "node_id": bodies.node_id("StatusContext", one.id),
        "state": one.state,
        "description": one.description,
        "target_url": one.target_url,
        "context": one.context,
        "created_at": bodies.moment(one.at),
        "updated_at": bodies.moment(one.at),
        "creator": creator,
    }


@route("GET", f"{_REPOSITORY}/deployments")
def deployments(request: Request) -> Page:
    query = request.query
    found = [
        one
        for one in reversed(request.repository.deployments)
        if query.get("sha", one.commit) == one.commit
        and query.get("ref", one.ref) == one.ref
        and query.get("task", one.task) == one.task
        and query.get("environment", one.environment) == one.environment
    ]
    return Page(found, lambda one: _deployment(request, one))


@route("POST", f"{_REPOSITORY}/deployments")
def deploy(request: Request) -> Answer:
    """docs: 'Create a deployment': merges the default branch into a branch that lacks it, and wants green statuses."""
    repository, asked = request.repository, request.json()
    ref = str(asked["ref"])
    commit = repository.bare.resolve(ref)
    if commit is None:
        raise Problem(422, f"No ref found for: {ref}")
    branch = repository.bare.tip(f"refs/heads/{ref}") is not None
    if asked.get("auto_merge", True) and branch and not repository.bare.contains(commit, repository.tip()):
        return Answer({"message": f"Auto-merged main into {ref} on deployment."}, 202)
    _check_statuses(request, commit, asked.get("required_contexts"))
    _short(asked.get("description"), "Deployment")
    environment = asked.get("environment", "production")
    deployment = Deployment(
        request.hub.new_id(), request.who, commit, ref, asked.get("task", "deploy"), environment,
        asked.get("description"), asked.get("payload", {}), asked.get("transient_environment", False),
        asked.get("production_environment", environment == "production"), request.hub.now(),
    )  # fmt: skip
    repository.deployments.append(deployment)
    return Answer(_deployment(request, deployment), 201)


def _check_statuses(request: Request, commit: str, contexts: list[str] | None) -> None:
    latest: dict[str, str] = {}
    for status in reversed(request.repository.statuses(commit)):
        latest[status.context] = status.state
    wanted = latest if contexts is None else contexts
    if any(latest.get(context) != "success" for context in wanted):
        raise Problem(409, f"Conflict: Commit status checks failed for {commit}.")


@route("GET", f"{_REPOSITORY}/deployments/{{id}}")
def one_deployment(request: Request) -> Json:
    return _deployment(request, _chosen(request))


@route("GET", f"{_REPOSITORY}/deployments/{{id}}/statuses")
def deployment_statuses(request: Request) -> Page:
    deployment = _chosen(request)
    return Page(deployment.statuses, lambda one: _deployment_status(request, deployment, one))


@route("POST", f"{_REPOSITORY}/deployments/{{id}}/statuses")
def add_deployment_status(request: Request) -> Answer:
    deployment, asked = _chosen(request), request.json()
    _short(asked.get("description"), "DeploymentStatus")
    deployment.environment = asked.get("environment", deployment.environment)
    links = (asked.get("environment_url", ""), asked.get("log_url", ""))
    told = (asked["state"], asked.get("description", ""), deployment.environment)
    status = DeploymentStatus(request.hub.new_id(), request.who, *told, *links, request.hub.now())
    deployment.statuses.insert(0, status)
    if asked.get("auto_inactive", True) and status.state == "success":
        _retire_others(request, deployment)
    return Answer(_deployment_status(request, deployment, status), 201)


def _retire_others(request: Request, deployment: Deployment) -> None:
    """docs, `auto_inactive`: prior non-transient, non-production ones of the environment that had a success state."""
    for other in request.repository.deployments:
        prior = other.environment == deployment.environment and other.id < deployment.id
        if prior and not other.transient and not other.production and other.state == "success":
            words = ("", other.environment, "", "")
            now = request.hub.now()
            other.statuses.insert(0, DeploymentStatus(request.hub.new_id(), request.who, "inactive", *words, now))


def _chosen(request: Request) -> Deployment:
    for deployment in request.repository.deployments:
        if deployment.id == int(request.part["id"]):
            return deployment
    raise Problem(404, "Not Found")


def _deployment(request: Request, one: Deployment) -> Json:
    api = f"{request.hub.public_url}/repos/{request.repository.name}"
    return {
        "id": one.id,
        "node_id": bodies.node_id("Deployment", one.id),
        "url": f"{api}/deployments/{one.id}",
        "repository_url": api,
        "statuses_url": f"{api}/deployments/{one.id}/statuses",
        "sha": one.commit,
        "ref": one.ref,
        "task": one.task,
        "payload": one.payload,
        "environment": one.environment,
        "original_environment": one.environment,
        "description": one.description,
        "creator": bodies.account(request.hub, one.account),
        "created_at": bodies.moment(one.at),
        "updated_at": bodies.moment(one.statuses[0].at if one.statuses else one.at),
        "transient_environment": one.transient,
        "production_environment": one.production,
    }


def _deployment_status(request: Request, deployment: Deployment, one: DeploymentStatus) -> Json:
    api = f"{request.hub.public_url}/repos/{request.repository.name}"
    return {
        "id": one.id,
        "node_id": bodies.node_id("DeploymentStatus", one.id),
        "url": f"{api}/deployments/{deployment.id}/statuses/{one.id}",
        "deployment_url": f"{api}/deployments/{deployment.id}",
        "repository_url": api,
        "state": one.state,
        "creator": bodies.account(request.hub, one.account),
        "description": one.description,
        "environment": one.environment,
        "environment_url": one.environment_url,
        "log_url": one.log_url,
        "target_url": one.log_url,
        "created_at": bodies.moment(one.at),
        "updated_at": bodies.moment(one.at),
    }
