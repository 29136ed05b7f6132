"""Rollouts as GitHub shows them: one deployment each, and a status for each thing that is told of it.

Shapes and limits are those of GitHub's "REST API endpoints for deployments" and "… for deployment statuses"; the
credential needs "Deployments: read and write". A deployment is ours when its task and the key in its payload are. What
GitHub has is looked at before anything is made, so whoever died in between finds there what was done.

The first word on a rollout costs three requests (what is there, the deployment, its status), each later one a single
one as long as the process lives, and none when GitHub is known to have it so.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import quote

from reconciler.errors import PolicyDenied, Reason, ReconcilerError
from reconciler.forges.github.answers import read, read_all, unavailable
from reconciler.github import Api, NotThere, Refused
from reconciler.github.answers import GitHubAnswer
from reconciler.model import Rollout, RolloutState

TASK = "deploy:reconciler"
"""Tells our deployments from those of workflows and other tools."""
PERMISSION = "give the token or the App access to the repository, with the permission Deployments: read and write"
_KNOWN = 1_000
"""Deployments remembered by key; one that was forgotten is found by asking."""
_ONCE_MORE = 2
"""A deployment that somebody deleted at GitHub is made again, once."""


class _Deployment(GitHubAnswer):
    """`deployment`. The payload is an object, or, from some servers, its text."""

    id: int
    payload: dict[str, Any] | str

    @property
    def key(self) -> object:
        payload: Any = self.payload
        if isinstance(payload, str):
            try:
                payload = json.loads(payload)
            except (ValueError, RecursionError):
                return None
        return payload.get("key") if isinstance(payload, dict) else None


class _Status(GitHubAnswer):
    """`deployment-status`."""

    id: int
    state: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class _Word:
    """What one status says."""

    state: str
    description: str


@dataclass(frozen=True, slots=True)
class _Record:
    """One deployment, and what its newest status says; None: it has none."""

    id: int
    word: _Word | None


class GitHubDeployments:
    """`ports.Deployments` at GitHub. Safe to use from several threads.

    Args:
        api: GitHub, for one repository.
        environment_url: Where an environment can be looked at, as the settings checked it; `{environment}` stands for
            its name. None: nowhere.
        log_url: Where to read how a rollout went, likewise.
    """

    def __init__(self, api: Api, environment_url: str | None = None, log_url: str | None = None) -> None:
        self._api = api
        self._urls = {"environment_url": environment_url, "log_url": log_url}
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = Lock()

    def show(self, rollout: Rollout) -> None:
        """Make the one deployment of a rollout say what it should: made when it is not there yet. Idempotent.

        Raises:
            Transient: `ForgeUnavailable`: nobody can tell, or the credential has no right to it.
            PolicyDenied: `ForgeUnavailable`: GitHub does not take this one; a commit that it does not have, say.
        """
        word = _Word(rollout.state.value, _plain(rollout.told))
        with self._lock:
            record = self._records.pop(rollout.key, None)  # put back only once it is known what GitHub has
            try:
                self._remember(rollout.key, self._told(rollout, record, word))
            except NotThere:
                told = f"GitHub knows no deployments of {self._api.repository}, or does not show them"
                raise unavailable(told, PERMISSION) from None
            except Refused as refused:
                raise _refusal(rollout, refused) from None

    def _told(self, rollout: Rollout, record: _Record | None, word: _Word) -> _Record:
        for _ in range(_ONCE_MORE):
            record = record or self._found(rollout) or self._made(rollout)
            if record.word == word:
                return record
            try:
                self._say(record.id, word, self._links(rollout))
            except NotThere:
                record = None
            else:
                return _Record(record.id, word)
        raise NotThere("/deployments")

    # --- what GitHub has --------------------------------------------------------------------------

    def _found(self, rollout: Rollout) -> _Record | None:
        """Ours, if there is one: the oldest, should there be several. The others end."""
        asked = {"environment": rollout.environment, "sha": rollout.commit, "task": TASK}
        listed = read_all(_Deployment, self._api.pages(self._api.of_repository("/deployments"), asked))
        mine = sorted(found.id for found in listed if found.key == rollout.key)
        for number in mine[1:]:
            self._end(number, mine[0])
        return _Record(mine[0], self._newest(mine[0])) if mine else None

    def _newest(self, number: int) -> _Word | None:
        """What the newest status says, by the id: GitHub lists the newest first, and does not promise it."""
        listed = read_all(_Status, self._api.get(self._statuses(number), {"per_page": 100}) or [])
        newest = max(listed, key=lambda status: status.id, default=None)
        return _Word(newest.state, newest.description) if newest else None

    def _end(self, number: int, kept: int) -> None:
        """Two can come of a race; the later says so, once."""
        found = self._newest(number)
        if found is None or found.state != RolloutState.INACTIVE:
            self._say(number, _Word(RolloutState.INACTIVE.value, f"the same as deployment {kept}, which counts"), {})

    # --- what is made -----------------------------------------------------------------------------

    def _made(self, rollout: Rollout) -> _Record:
        payload = {"key": rollout.key, "run_id": rollout.run_id, "sha256": rollout.sha256}
        body = {
            "ref": rollout.commit,
            "task": TASK,
            "auto_merge": False,
            "required_contexts": [],
            "payload": payload,
            "environment": rollout.environment,
            "description": f"run {rollout.run_id}, sha256 {rollout.sha256[:12]}",
            "transient_environment": False,
        }
        made = read(_Deployment, self._api.post(self._api.of_repository("/deployments"), body))
        return _Record(made.id, None)

    def _say(self, number: int, word: _Word, links: Mapping[str, str]) -> None:
        body = {"state": word.state, "description": word.description, "auto_inactive": False, **links}
        self._api.post(self._statuses(number), body)

    def _statuses(self, number: int) -> str:
        return self._api.of_repository(f"/deployments/{number}/statuses")

    def _links(self, rollout: Rollout) -> dict[str, str]:
        name = quote(rollout.environment, safe="/")
        return {key: url.format(environment=name) for key, url in self._urls.items() if url}

    def _remember(self, key: str, record: _Record) -> None:
        self._records[key] = record
        while len(self._records) > _KNOWN:
            self._records.popitem(last=False)


def _plain(text: str) -> str:
    """GitHub answers 422 to characters beyond the basic plane in descriptions ("doesn't accept 4-byte Unicode")."""
    return "".join(c if ord(c) < 0x10000 else "?" for c in text).strip()


def _refusal(rollout: Rollout, refused: Refused) -> ReconcilerError:
    """A missing right is nobody's fault but the credential's; all else is about this one rollout."""
    if refused.status in (401, 403):
        return unavailable(str(refused), refused.hint or PERMISSION)
    told = f"run {rollout.run_id} of {rollout.environment} can't be shown as a deployment: {refused}"
    hint = refused.hint or "look whether GitHub has the commit; whatever runs is not affected"
    return PolicyDenied(Reason.FORGE_UNAVAILABLE, told, hint)
