"""Webhooks: GitHub's own example payloads with our ids, refs and shas in them, signed and really delivered."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import requests

from tests.github import api_ci, bodies, install
from tests.github.git import NOTHING
from tests.github.state import Account, Activity, Json, Pull, Review

if TYPE_CHECKING:
    from tests.github.ci import Run
    from tests.github.repository import HubRepository

_SECONDS = 10
"""docs: 'Best practices for using webhooks': a receiver has 10 seconds."""


@dataclass(frozen=True)
class Delivery:
    """One delivery; status 0: nobody answered."""

    id: str
    event: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def payload(self) -> Json:
        found: Json = json.loads(self.body)
        return found


class Webhook:
    """One receiver of all events of a repository. `lost`: deliveries get lost on their way."""

    def __init__(self, repository: HubRepository, url: str, secret: str) -> None:
        self.repository, self.url, self.secret = repository, url, secret
        self.lost = False
        self.deliveries: list[Delivery] = []

    def tell(self, event: str, action: str = "", **what: Any) -> None:
        """Deliver what happened, when the deed is done."""
        self.repository.hub.later(partial(self._later, event, payload(self.repository, event, action, **what)))

    def _later(self, event: str, content: Json) -> None:
        self.send(event, content)

    def ping(self) -> Delivery:
        """What GitHub sends first."""
        return self.send("ping", payload(self.repository, "ping"))

    def send(self, event: str, content: Json) -> Delivery:
        """Sign and deliver anything."""
        return self.deliver(event, json.dumps(content).encode())

    def redeliver(self, delivery: Delivery) -> Delivery:
        """The same again, with the same delivery id, as GitHub does."""
        return self._post(delivery.event, delivery.headers, delivery.body)

    def deliver(self, event: str, body: bytes) -> Delivery:
        """Sign and deliver any bytes."""
        return self._post(event, self.headers(event, body), body)

    def headers(self, event: str, body: bytes) -> dict[str, str]:
        """docs: 'Webhook events and payloads', delivery headers."""
        key = self.secret.encode()
        return {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/0000000",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": str(self.repository.id),
            "X-GitHub-Hook-Installation-Target-ID": str(self.repository.id),
            "X-GitHub-Hook-Installation-Target-Type": "repository",
            "X-Hub-Signature": f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}",
        }

    def _post(self, event: str, headers: dict[str, str], body: bytes) -> Delivery:
        status = 0
        if not self.lost:
            try:
                with requests.post(self.url, body, headers=headers, timeout=_SECONDS) as answer:
                    status = answer.status_code
            except requests.RequestException:
                status = 0
        self.deliveries.append(Delivery(headers["X-GitHub-Delivery"], event, headers, body, status))
        return self.deliveries[-1]


def payload(
    repository: HubRepository,
    event: str,
    action: str = "",
    *,
    account: Account | None = None,
    pull: Pull | None = None,
    review: Review | None = None,
    activity: Activity | None = None,
    run: Run | None = None,
) -> Json:
    """GitHub's example of an event, with this repository's facts in it."""
    hub = repository.hub
    found = copy.deepcopy(_example(event, action)) | {"repository": _repository(repository, event, action)}
    found["sender"] = bodies.account(hub, account or hub.operator)
    if action:
        found["action"] = action
    if pull is not None:
        found |= {"number": pull.number} if "number" in found else {}
        found["pull_request"] |= bodies.pull(pull) if event == "pull_request" else bodies.pull_in_list(pull)
    if review is not None:
        found["review"] |= bodies.review(review) | {"state": review.state.lower()}  # lower case here, as GitHub has it
    if activity is not None:
        found |= _push(repository, activity)
    if run is not None:
        found["workflow_run"] |= api_ci.workflow_run(run)
    if event == "ping":
        found["hook_id"] = repository.id
    return found


def _repository(repository: HubRepository, event: str, action: str) -> Json:
    found: Json = copy.deepcopy(_example(event, action)["repository"])
    ours = bodies.repository_(repository)
    names = ("id", "node_id", "name", "full_name", "owner", "private", "fork", "default_branch", "url", "html_url")
    return found | {name: ours[name] for name in names if name in ours}


def _push(repository: HubRepository, one: Activity) -> Json:
    made, gone = one.before == NOTHING, one.after == NOTHING
    new = [] if gone else repository.bare.lines("rev-list", "--reverse", one.after, *_without(made, one.before))
    told = [_commit(repository, name) for name in new[-20:]] if not made else []
    return {
        "ref": one.ref,
        "before": one.before,
        "after": one.after,
        "created": made,
        "deleted": gone,
        "forced": one.kind == "force_push",
        "base_ref": None,
        "compare": f"https://github.com/{repository.name}/compare/{one.before[:12]}...{one.after[:12]}",
        "commits": told,
        "head_commit": None if gone else _commit(repository, one.after),
        "pusher": {"name": one.account.login, "email": one.account.email},
    }


def _without(made: bool, before: str) -> list[str]:
    return [] if made else [f"^{before}"]


def _commit(repository: HubRepository, name: str) -> Json:
    one = bodies.commit(repository, name)
    people = {
        role: {"name": one["commit"][role]["name"], "email": one["commit"][role]["email"]}
        for role in ("author", "committer")
    }
    return {
        "id": name,
        "tree_id": one["commit"]["tree"]["sha"],
        "distinct": True,
        "message": one["commit"]["message"],
        "timestamp": one["commit"]["committer"]["date"],
        "url": one["html_url"],
        **people,
        "added": [],
        "removed": [],
        "modified": [],
    }


@cache
def examples() -> Json:
    """GitHub's example payloads, by event."""
    return {one["name"]: one["examples"] for one in json.loads(install.WEBHOOKS.read_text())}


def _example(event: str, action: str) -> Json:
    known: list[Json] = [one for one in examples()[event] if isinstance(one.get("repository"), dict)]
    same = [one for one in known if one.get("action") == action]
    return (same or known)[0]
