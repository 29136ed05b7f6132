"""Answers on a repository itself: its commits, comparisons, activity, and who may do what in it."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.github import bodies
from tests.github.routing import Answer, Page, Problem, Request, route
from tests.github.state import Account, Activity, Json

_REPOSITORY = "/repos/{owner}/{repo}"
_MOST_COMMITS = 250
"""docs: 'Compare two commits' answers at most 250 commits without paging."""


@route("GET", _REPOSITORY)
def repository(request: Request) -> Json:
    return bodies.whole_repository(request.repository)


@route("GET", f"{_REPOSITORY}/commits")
def commits(request: Request) -> Page:
    query, found = request.query, request.repository
    start = found.bare.resolve(query.get("sha", "main"))
    if start is None:
        raise Problem(404, "Not Found")
    paths = ["--", query["path"]] if "path" in query else []
    times = [f"--{name}={query[name]}" for name in ("since", "until") if name in query]
    names = found.bare.lines("log", "--format=%H%x09%ae%x09%ce", *times, start, *paths)
    for role, place in (("author", 1), ("committer", 2)):
        if role in query:
            names = [line for line in names if _is(request, line.split("\t")[place], query[role])]
    return Page([line.split("\t")[0] for line in names], lambda name: bodies.commit(found, name))


def _is(request: Request, email: str, wanted: str) -> bool:
    who = request.hub.by_email(email)
    return wanted == email or (who is not None and who.login.lower() == wanted.lower())


@route("GET", f"{_REPOSITORY}/commits/{{ref}}")
def commit(request: Request) -> Json:
    found = request.repository
    name = found.bare.resolve(request.part["ref"])
    if name is None:
        raise Problem(422, f"No commit found for SHA: {request.part['ref']}")
    return bodies.commit(found, name) | {"stats": {"additions": 0, "deletions": 0, "total": 0}, "files": []}


@route("GET", f"{_REPOSITORY}/compare/{{basehead}}")
def compare(request: Request) -> Json:
    found, (before, _, after) = request.repository, request.part["basehead"].partition("...")
    base, head = (found.bare.resolve(name.split(":")[-1]) for name in (before, after))
    if base is None or head is None:
        raise Problem(404, "Not Found")
    ahead = found.bare.lines("rev-list", "--reverse", head, f"^{base}")
    behind = found.bare.lines("rev-list", base, f"^{head}")
    origin = found.git("merge-base", base, head)
    status = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}
    page = f"https://github.com/{found.name}/compare/{before}...{after}"
    one, two = bodies.commits(found, [base]), bodies.commits(found, [origin])
    return {
        "url": f"{request.hub.public_url}{request.path}",
        "html_url": page,
        "permalink_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": one[0],
        "merge_base_commit": two[0],
        "status": status.get((bool(ahead), bool(behind)), "diverged"),
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": bodies.commits(found, _paged(request, ahead)),
        "files": [],
    }


def _paged(request: Request, names: list[str]) -> list[str]:
    size = min(_MOST_COMMITS, int(request.query.get("per_page", _MOST_COMMITS)))
    start = (int(request.query.get("page", "1")) - 1) * size
    return names[start : start + size]


@route("GET", f"{_REPOSITORY}/activity")
def activity(request: Request) -> Page:
    """docs: 'List repository activities': newest first unless asked otherwise; pages by cursor."""
    query = request.query
    ref = query.get("ref", "")
    ref = ref if not ref or ref.startswith("refs/") else f"refs/heads/{ref}"
    found = [
        one
        for one in request.repository.activities
        if ref in ("", one.ref)
        and query.get("actor", one.account.login).lower() == one.account.login.lower()
        and query.get("activity_type", one.kind) == one.kind
    ]
    newest_first = query.get("direction", "desc") == "desc"
    return Page(found[::-1] if newest_first else found, lambda one: _activity(request, one), cursor=True)


def _activity(request: Request, one: Activity) -> Json:
    return {
        "id": one.id,
        "node_id": bodies.node_id("Activity", one.id),
        "before": one.before,
        "after": one.after,
        "ref": one.ref,
        "timestamp": bodies.moment(one.at),
        "activity_type": one.kind,
        "actor": bodies.account(request.hub, one.account),
    }


@route("GET", f"{_REPOSITORY}/collaborators/{{username}}/permission")
def permission(request: Request) -> Json:
    return bodies.collaborator(request.repository, _named(request))


@route("GET", "/orgs/{org}/teams/{team}/memberships/{username}")
def membership(request: Request) -> Json:
    name = f"{request.part['org']}/{request.part['team']}"
    team, who = request.hub.teams.get(name), _named(request)
    if team is None or who not in team.members:
        raise Problem(404, "Not Found")
    url = f"{request.hub.public_url}/organizations/1/team/{team.id}/memberships/{who.login}"
    return {"url": url, "role": "member", "state": "active"}


@route("GET", "/users/{username}")
def user(request: Request) -> Json:
    return bodies.public_account(request.hub, _named(request))


@route("GET", "/user/{id}")
def user_by_id(request: Request) -> Json:
    found = request.hub.accounts.get(int(request.part["id"]))
    if found is None:
        raise Problem(404, "Not Found")
    return bodies.public_account(request.hub, found)


def _named(request: Request) -> Account:
    found = request.hub.account(request.part["username"])
    if found is None:
        raise Problem(404, "Not Found")
    return found


@route("POST", "/app/installations/{id}/access_tokens")
def access_token(request: Request) -> Answer:
    try:
        token, until = request.hub.tokens.install(request.headers.get("authorization", ""), int(request.part["id"]))
    except KeyError:
        raise Problem(404, "Not Found") from None
    ends = bodies.moment(datetime.fromtimestamp(until, UTC))
    rights = request.hub.app().rights
    body = {"token": token, "expires_at": ends, "permissions": rights, "repository_selection": "selected"}
    return Answer(body, 201)
