"""GitHub's own description of its REST API, cut to what is used here, for prism.

Two tables say all: `OPERATIONS`, what may be asked at all, and `CORRECTIONS`, where the description is narrower than
GitHub's documentation. Whatever else is asked or answered is a violation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.github import install

Json = dict[str, Any]

_REPOSITORY = "/repos/{owner}/{repo}"

OPERATIONS: tuple[tuple[str, str], ...] = (
    ("get", _REPOSITORY),
    ("get", f"{_REPOSITORY}/commits"),
    ("get", f"{_REPOSITORY}/commits/{{ref}}"),
    ("get", f"{_REPOSITORY}/commits/{{commit_sha}}/pulls"),
    ("get", f"{_REPOSITORY}/commits/{{ref}}/statuses"),
    ("get", f"{_REPOSITORY}/compare/{{basehead}}"),
    ("get", f"{_REPOSITORY}/activity"),
    ("get", f"{_REPOSITORY}/collaborators/{{username}}/permission"),
    ("get", f"{_REPOSITORY}/pulls"),
    ("post", f"{_REPOSITORY}/pulls"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}"),
    ("patch", f"{_REPOSITORY}/pulls/{{pull_number}}"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}/reviews"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}/commits"),
    ("get", f"{_REPOSITORY}/issues/{{issue_number}}/events"),
    ("get", f"{_REPOSITORY}/issues/{{issue_number}}/comments"),
    ("post", f"{_REPOSITORY}/issues/{{issue_number}}/comments"),
    ("get", f"{_REPOSITORY}/issues/comments/{{comment_id}}"),
    ("patch", f"{_REPOSITORY}/issues/comments/{{comment_id}}"),
    ("delete", f"{_REPOSITORY}/issues/comments/{{comment_id}}"),
    ("post", f"{_REPOSITORY}/statuses/{{sha}}"),
    ("get", f"{_REPOSITORY}/deployments"),
    ("post", f"{_REPOSITORY}/deployments"),
    ("get", f"{_REPOSITORY}/deployments/{{deployment_id}}"),
    ("get", f"{_REPOSITORY}/deployments/{{deployment_id}}/statuses"),
    ("post", f"{_REPOSITORY}/deployments/{{deployment_id}}/statuses"),
    ("get", f"{_REPOSITORY}/actions/artifacts"),
    ("get", f"{_REPOSITORY}/actions/runs/{{run_id}}"),
    ("get", f"{_REPOSITORY}/actions/runs/{{run_id}}/artifacts"),
    ("get", f"{_REPOSITORY}/actions/artifacts/{{artifact_id}}/{{archive_format}}"),
    ("get", "/orgs/{org}/teams/{team_slug}/memberships/{username}"),
    ("get", "/users/{username}"),
    ("get", "/user/{account_id}"),
    ("post", "/app/installations/{installation_id}/access_tokens"),
)
"""All that is asked of GitHub: method and path as the description has them."""


@dataclass(frozen=True)
class Correction:
    """One place where the description is narrower than what GitHub documents."""

    what: str
    reason: str
    apply: Callable[[Json], None]


def _allow_statuses(*statuses: int, methods: tuple[str, ...] = ()) -> Callable[[Json], None]:
    def apply(description: Json) -> None:
        for path in description["paths"].values():
            for method, operation in path.items():
                if not methods or method in methods:
                    for status in statuses:
                        operation["responses"].setdefault(str(status), {"description": "documented for every path"})

    return apply


def _allow_empty(schema: str, *properties: str) -> Callable[[Json], None]:
    def apply(description: Json) -> None:
        for name in properties:
            del description["components"]["schemas"][schema]["properties"][name]["format"]

    return apply


CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        "every path may answer 401, 403, 404, 429, 500, 502, 503 and 504",
        "docs: 'Troubleshooting the REST API', 'Rate limits for the REST API': bad credentials, missing rights (404 "
        "for what may not be known), both rate limits, and time-outs are answered on any path",
        _allow_statuses(401, 403, 404, 429, 500, 502, 503, 504),
    ),
    Correction(
        "every GET may answer 304",
        "docs: 'Best practices for using the REST API', conditional requests: most paths answer with an ETag",
        _allow_statuses(304, methods=("get",)),
    ),
    Correction(
        "every path may answer 301 and 307",
        "docs: 'Best practices for using the REST API', follow redirects: a renamed repository",
        _allow_statuses(301, 307),
    ),
    Correction(
        "every POST and PATCH may answer 422",
        "docs: 'Troubleshooting the REST API', validation failed",
        _allow_statuses(422, methods=("post", "patch")),
    ),
    Correction(
        "the links of a deployment status may be empty",
        "the description itself has an empty text as their default beside `format: uri`, which an empty text is not",
        _allow_empty("deployment-status", "environment_url", "log_url", "target_url"),
    ),
)


def cut() -> Path:
    """The description for prism, made once for each version of the packages and of the tables above."""
    full, here = install.DESCRIPTION, Path(__file__)
    key = hashlib.sha256(here.read_bytes() + str(full.stat().st_mtime_ns).encode()).hexdigest()[:16]
    place = install.MODULES / f".description-{key}.json"
    if not place.is_file():
        partial = place.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(_cut(json.loads(full.read_text()))))
        partial.replace(place)
    return place


def unknown_parameters(method: str, target: str) -> list[str]:
    """Names in a query that the operation does not have; prism lets them pass, and GitHub would ignore them."""
    url = urlsplit(target)
    names = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
    if not names:
        return []
    for wanted, pattern, known in _queries():
        if wanted == method.lower() and pattern.fullmatch(url.path):
            return [name for name in names if name not in known]
    return []


@cache
def _queries() -> list[tuple[str, re.Pattern[str], frozenset[str]]]:
    description = json.loads(cut().read_text())
    found = []
    for path, operations in description["paths"].items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        for method, operation in operations.items():
            told = [_follow(description, one) for one in operation["parameters"]]
            known = frozenset(one["name"] for one in told if one["in"] == "query")
            found.append((method, pattern, known))
    return found


@cache
def examples() -> Json:
    """GitHub's example of each operation's answer, by `GET /path`: what the hub's own answers are written over."""
    full = json.loads(install.DESCRIPTION.read_text())
    found: Json = {}
    for method, path in OPERATIONS:
        for status, response in full["paths"][path][method]["responses"].items():
            for media in response.get("content", {}).values() if status.startswith("2") else ():
                first: Json = next(iter(media.get("examples", {}).values()), {})
                found.setdefault(f"{method.upper()} {path}", _follow(full, first).get("value"))
    return found


def _cut(full: Json) -> Json:
    paths: Json = {}
    for method, path in OPERATIONS:
        kept = paths.setdefault(path, {})
        shared = full["paths"][path].get("parameters", [])
        operation = full["paths"][path][method]
        kept[method] = {**operation, "parameters": [*shared, *operation.get("parameters", [])]}
    description = {"openapi": full["openapi"], "info": full["info"], "paths": paths, "components": {}}
    _drop_examples(description)
    wanted = list(_references(paths))
    while wanted:
        _, _, group, name = wanted.pop().split("/")
        components = description["components"].setdefault(group, {})
        if name not in components:
            components[name] = full["components"][group][name]
            _drop_examples(components[name])
            wanted += _references(components[name])
    for correction in CORRECTIONS:
        correction.apply(description)
    return description


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _drop_examples(node: Any) -> None:
    """Examples are not judged and are most of the size; a *property* of that name stays."""
    if isinstance(node, dict):
        for name in ("examples", "example", "x-github", "externalDocs"):
            if name in node and not (isinstance(node[name], dict) and "type" in node[name]):
                del node[name]
        for value in node.values():
            _drop_examples(value)
    elif isinstance(node, list):
        for value in node:
            _drop_examples(value)


def _follow(full: Json, node: Json) -> Json:
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    found: Json = full["components"][group][name]
    return found
