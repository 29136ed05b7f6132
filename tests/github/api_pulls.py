"""Answers on pull requests: found by commit, listed, opened, edited; their reviews, commits and time line."""

from __future__ import annotations

from tests.github import bodies
from tests.github.git import Bare
from tests.github.routing import Answer, Page, Problem, Request, route
from tests.github.state import Event, Json, Pull

_PULLS = "/repos/{owner}/{repo}/pulls"


@route("GET", "/repos/{owner}/{repo}/commits/{sha}/pulls")
def of_commit(request: Request) -> Page:
    """docs: 'List pull requests associated with a commit': the merged one that introduced it, and open ones with it."""
    repository = request.repository
    name = repository.bare.resolve(request.part["sha"])
    if name is None:
        raise Problem(422, f"No commit found for SHA: {request.part['sha']}")
    found = [one for near in repository.network() for one in near.pulls if _brings(one, name)]
    return Page(found, bodies.pull_in_list)


def _brings(pull: Pull, commit: str) -> bool:
    if pull.state == "closed" and pull.merged is None:
        return False
    return commit in pull.commits or commit in pull.landed or commit == pull.merged_as


@route("GET", _PULLS)
def pulls(request: Request) -> Page:
    """docs: 'List pull requests': open ones, newest first, unless asked otherwise; `head` is `owner:branch`."""
    query = request.query
    state = query.get("state", "open")
    found = [
        one
        for one in request.repository.pulls
        if state in ("all", one.state)
        and query.get("base", one.base) == one.base
        and query.get("head", _head(one)) in (_head(one), one.head if ":" not in query.get("head", ":") else "")
    ]
    order = {"updated": lambda one: one.updated}.get(query.get("sort", "created"), lambda one: one.created)
    newest_first = query.get("direction", "desc" if query.get("sort", "created") == "created" else "asc") == "desc"
    return Page(sorted(found, key=order, reverse=newest_first), bodies.pull_in_list)


def _head(pull: Pull) -> str:
    return f"{pull.head_repository.owner}:{pull.head}"


@route("POST", _PULLS)
def open_pull(request: Request) -> Answer:
    repository, asked = request.repository, request.json()
    head, base = asked["head"].split(":")[-1], asked["base"]
    bare = repository.bare
    for field, branch in (("head", head), ("base", base)):
        if bare.tip(f"refs/heads/{branch}") is None:
            raise _invalid(field, "invalid")
    if any(one.state == "open" and one.head == head and one.base == base for one in repository.pulls):
        raise _invalid("", f"A pull request already exists for {repository.owner}:{head}.")
    if not _news(bare, base, head):
        raise _invalid("", f"No commits between {base} and {head}")
    pull = repository.open_pull(request.who, head, base, asked["title"], asked.get("body") or "")
    return Answer(bodies.pull(pull), 201)


def _news(bare: Bare, base: str, head: str) -> bool:
    return bool(bare.lines("rev-list", "-n1", f"refs/heads/{head}", f"^refs/heads/{base}"))


def _invalid(field: str, detail: str) -> Problem:
    return Problem(422, "Validation Failed", detail, field=field, resource="PullRequest")


@route("GET", f"{_PULLS}/{{number}}")
def one_pull(request: Request) -> Json:
    return bodies.pull(request.pull)


@route("PATCH", f"{_PULLS}/{{number}}")
def edit_pull(request: Request) -> Json:
    pull, asked = request.pull, request.json()
    repository = pull.repository
    pull.title, pull.body = asked.get("title", pull.title), asked.get("body", pull.body) or ""
    if "base" in asked and asked["base"] != pull.base:
        if repository.bare.tip(f"refs/heads/{asked['base']}") is None:
            raise _invalid("base", "invalid")
        repository.retarget(pull, asked["base"], request.who)
    if asked.get("state") == "closed" and pull.state == "open":
        repository.close(pull, request.who)
    pull.updated = request.hub.now()
    return bodies.pull(pull)


@route("GET", f"{_PULLS}/{{number}}/reviews")
def reviews(request: Request) -> Page:
    return Page(request.pull.reviews, bodies.review)


@route("GET", f"{_PULLS}/{{number}}/commits")
def commits(request: Request) -> Page:
    """docs: 'List commits on a pull request': at most 250 of them."""
    pull = request.pull
    return Page(pull.commits[:250], lambda name: bodies.commit(pull.repository, name))


@route("GET", "/repos/{owner}/{repo}/issues/{number}/events")
def events(request: Request) -> Page:
    return Page(request.pull.events, lambda one: _event(request, one))


def _event(request: Request, one: Event) -> Json:
    api = f"{request.hub.public_url}/repos/{request.repository.name}"
    return {
        "id": one.id,
        "node_id": bodies.node_id("IssueEvent", one.id),
        "url": f"{api}/issues/events/{one.id}",
        "actor": bodies.account(request.hub, one.account),
        "event": one.name,
        "commit_id": one.commit,
        "commit_url": f"{api}/commits/{one.commit}" if one.commit else None,
        "created_at": bodies.moment(one.at),
        "performed_via_github_app": None,
    }
