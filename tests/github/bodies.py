"""GitHub's JSON of people, repositories, commits and pull requests, written over GitHub's own examples."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.github import description
from tests.github.state import Account, Json, Pull, Review

if TYPE_CHECKING:
    from tests.github.hub import Hub
    from tests.github.repository import HubRepository

_PULL = "GET /repos/{owner}/{repo}/pulls/{pull_number}"
_FIELDS = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x01"
_ONLY_FULL = (
    "additions", "changed_files", "comments", "commits", "deletions", "mergeable", "mergeable_state", "merged",
    "maintainer_can_modify", "merged_by", "rebaseable", "review_comments",
)  # fmt: skip
"""What GitHub says of one pull request and not of many."""
_MAY = ("admin", "maintain", "push", "triage", "pull")
_RANK = {"admin": 0, "maintain": 1, "write": 2, "triage": 3, "read": 4}


def moment(at: datetime | None) -> str | None:
    """As GitHub writes times."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(kind: str, number: int) -> str:
    """GraphQL's name of it; looks like one."""
    return base64.b64encode(f"0:{kind}{number}".encode()).decode()


@cache
def _example(operation: str, pick: str = "") -> str:
    found = description.examples()[operation]
    found = found[0] if isinstance(found, list) else found
    for name in pick.split("."):
        found = found[name] if name else found
    return json.dumps(found)


def over(repository: HubRepository, operation: str, changes: Json, pick: str = "") -> Json:
    """GitHub's example of an answer, with this repository's name and address in it, and then `changes`."""
    text = _example(operation, pick).replace("octocat/Hello-World", repository.name)
    text = text.replace("octo-org/octo-repo", repository.name)
    found: Json = json.loads(text.replace("https://api.github.com", repository.hub.public_url))
    return found | changes


def account(hub: Hub, who: Account) -> Json:
    """Schema `simple-user`."""
    api, login = f"{hub.public_url}/users/{quote(who.login)}", who.login
    below = ("followers", "following{/other_user}", "gists{/gist_id}", "starred{/owner}{/repo}", "subscriptions")
    urls = {f"{one.split('{')[0]}_url": f"{api}/{one}" for one in (*below, "orgs", "repos", "received_events")}
    urls["organizations_url"] = urls.pop("orgs_url")
    return {
        "login": login,
        "id": who.id,
        "node_id": node_id("User", who.id),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{who.id}?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": f"https://github.com/{quote(login)}",
        **urls,
        "events_url": f"{api}/events{{/privacy}}",
        "type": who.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_account(hub: Hub, who: Account) -> Json:
    """Schema `public-user`."""
    nothing: Json = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = dict.fromkeys(("created_at", "updated_at"), "2020-01-01T00:00:00Z")
    return account(hub, who) | {"name": who.name, "blog": ""} | nothing | counts | times


def collaborator(repository: HubRepository, who: Account) -> Json:
    """Schema `repository-collaborator-permission`; docs: maintain is told as write, triage as read."""
    role = repository.permission(who)
    rank = _RANK.get(role, len(_MAY))
    may = {name: rank <= place for place, name in enumerate(_MAY)}
    return {
        "permission": {"maintain": "write", "triage": "read"}.get(role, role),
        "role_name": role,
        "user": account(repository.hub, who) | {"permissions": may, "role_name": role},
    }


def owner(repository: HubRepository) -> Json:
    """The account or organisation that a repository is below of."""
    found = repository.hub.account(repository.owner)
    name = Account(1, repository.owner, "", repository.owner, "Organization")
    return account(repository.hub, found or name)


def repository_(repository: HubRepository, operation: str = _PULL, pick: str = "base.repo") -> Json:
    """A repository as it stands within another answer."""
    return over(
        repository,
        operation,
        {
            "id": repository.id,
            "node_id": node_id("Repository", repository.id),
            "name": repository.name.split("/")[1],
            "full_name": repository.name,
            "owner": owner(repository),
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "fork": repository.parent is not None,
            "default_branch": "main",
            "permissions": dict.fromkeys(_MAY, True),
        },
        pick,
    )


def whole_repository(repository: HubRepository) -> Json:
    """Schema `full-repository`."""
    found = repository_(repository, "GET /repos/{owner}/{repo}", "")
    for name in ("parent", "source", "template_repository", "organization"):
        found.pop(name, None)
    found["language"] = None  # what GitHub could not tell; its example leaves it out
    if repository.parent:
        parent = repository_(repository.parent)
        found |= {"parent": parent, "source": parent}
    return found


def commits(repository: HubRepository, names: Iterable[str]) -> list[Json]:
    """Schema `commit`, of each, in that order; one call of git."""
    wanted = list(names)
    if not wanted:
        return []
    told = repository.git("log", "--no-walk=unsorted", f"--format={_FIELDS}", *wanted)
    return [_commit(repository, part.lstrip("\n").split("\0")) for part in told.split("\x01") if part.strip()]


def commit(repository: HubRepository, name: str) -> Json:
    """Schema `commit`, of one."""
    return commits(repository, [name])[0]


def _commit(repository: HubRepository, fields: list[str]) -> Json:
    sha, tree, parents, author, author_email, authored, committer, committer_email, committed, message = fields
    hub, api = repository.hub, f"{repository.hub.public_url}/repos/{repository.name}"
    page = f"https://github.com/{repository.name}/commit"
    wrote, made = hub.by_email(author_email), hub.by_email(committer_email)
    unsigned = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
    return {
        "sha": sha,
        "node_id": node_id("Commit", int(sha[:8], 16)),
        "url": f"{api}/commits/{sha}",
        "html_url": f"{page}/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "commit": {
            "author": {"name": author, "email": author_email, "date": authored.replace("+00:00", "Z")},
            "committer": {"name": committer, "email": committer_email, "date": committed.replace("+00:00", "Z")},
            "message": message.rstrip("\n"),
            "tree": {"sha": tree, "url": f"{api}/git/trees/{tree}"},
            "url": f"{api}/git/commits/{sha}",
            "comment_count": 0,
            "verification": unsigned,
        },
        "author": account(hub, wrote) if wrote else None,
        "committer": account(hub, made) if made else None,
        "parents": [
            {"sha": one, "url": f"{api}/commits/{one}", "html_url": f"{page}/{one}"} for one in parents.split()
        ],
    }


def _side(repository: HubRepository, branch: str, sha: str) -> Json:
    return {
        "label": f"{repository.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": owner(repository),
        "repo": repository_(repository),
    }


def pull(one: Pull) -> Json:
    """Schema `pull-request`."""
    repository, hub = one.repository, one.repository.hub
    found: Json = json.loads(json.dumps(over(repository, _PULL, {})).replace("/1347", f"/{one.number}"))
    trial = repository.bare.tip(f"refs/pull/{one.number}/merge")
    empty: Json = {"assignee": None, "assignees": [], "requested_reviewers": [], "requested_teams": [], "labels": []}
    return found | empty | {
        "id": one.id,
        "node_id": node_id("PullRequest", one.id),
        "number": one.number,
        "state": one.state,
        "locked": False,
        "draft": False,
        "active_lock_reason": None,
        "milestone": None,
        "auto_merge": None,
        "title": one.title,
        "body": one.body or None,
        "user": account(hub, one.author),
        "author_association": "CONTRIBUTOR",
        "created_at": moment(one.created),
        "updated_at": moment(one.updated),
        "closed_at": moment(one.closed),
        "merged_at": moment(one.merged),
        "merge_commit_sha": one.merged_as or trial,
        "head": _side(one.head_repository, one.head, one.head_commit),
        "base": _side(repository, one.base, one.base_commit),
        "merged": one.merged is not None,
        "merged_by": account(hub, one.merged_by) if one.merged_by else None,
        "mergeable": None if one.state == "closed" else trial is not None,
        "mergeable_state": "unknown" if one.state == "closed" else "clean" if trial else "dirty",
        "rebaseable": None if one.state == "closed" else trial is not None,
        "commits": len(one.commits),
        "comments": len(one.comments),
        "review_comments": 0,
    }  # fmt: skip


def pull_in_list(one: Pull) -> Json:
    """Schema `pull-request-simple`."""
    return {name: value for name, value in pull(one).items() if name not in _ONLY_FULL}


def review(one: Review) -> Json:
    """Schema `pull-request-review`."""
    hub, repository = one.pull.repository.hub, one.pull.repository
    api = f"{hub.public_url}/repos/{repository.name}/pulls/{one.pull.number}"
    page = f"https://github.com/{repository.name}/pull/{one.pull.number}#pullrequestreview-{one.id}"
    return {
        "id": one.id,
        "node_id": node_id("PullRequestReview", one.id),
        "user": account(hub, one.account),
        "body": one.body,
        "state": one.state,
        "html_url": page,
        "pull_request_url": api,
        "author_association": "COLLABORATOR",
        "_links": {"html": {"href": page}, "pull_request": {"href": api}},
        "submitted_at": moment(one.at),
        "commit_id": one.commit,
    }
