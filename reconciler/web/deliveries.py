"""What a delivery of GitHub wakes. Only proven bytes come here; they may still say anything.

The events and their fields are those of "Webhook events and payloads" in GitHub's documentation. Left out on purpose
are `deployment_status`, `status`, `issue_comment` and their like: the daemon causes them itself, and would wake itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

DEEPEST = 64
"""Levels of lists and objects that are read; GitHub's payloads have fewer than ten."""


class Malformed(ValueError):
    """Not JSON, or not what the event says it is. The message holds nothing of the body."""


@dataclass(frozen=True, slots=True)
class Wake:
    """What may have changed: the branch, or what lets it in; or, with a number, one pull request."""

    request: int | None = None


LOOK = Wake()
"""The branch may have moved, or something may be let in or built now."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What deliveries must be about, to wake anybody."""

    name: str
    """`owner/name` of the repository with the declarations, in any case."""
    branch: str
    id: Callable[[], int | None] = lambda: None
    """The repository's number, where the forge knows it: a name can pass to another repository."""
    builders: frozenset[str] = frozenset()
    """`owner/name` of other repositories whose runs are promoted."""

    @classmethod
    def of(
        cls,
        url: str,
        branch: str,
        forge: Mapping[str, object],
        sources: Iterable[Mapping[str, object]],
        repository_id: Callable[[], int | None],
    ) -> Tracked:
        """From the settings: `repository` of the forge, or else the URL; `repository` of each source that has one."""
        named = forge.get("repository")
        builders = (source.get("repository") for source in sources)
        return cls(
            named if isinstance(named, str) else full_name(url),
            branch,
            repository_id,
            frozenset(builder for builder in builders if isinstance(builder, str)),
        )


def full_name(url: str) -> str:
    """`owner/name` of the repository at a URL, as far as the URL tells."""
    return "/".join(re.split(r"[/:]+", url.rstrip("/").removesuffix(".git"))[-2:])


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


class _Repository(_Part):
    id: int
    full_name: str


class _About(_Part):
    repository: _Repository | None = None
    """Absent from what is about an organisation."""


class _Push(_Part):
    ref: str


class _Base(_Part):
    ref: str


class _Pull(_Part):
    number: int
    base: _Base
    merged_at: str | None = None


class _From(_Part):
    ref: dict[str, Any] | None = None


class _Changes(_Part):
    base: _From | None = None


class _PullRequest(_Part):
    action: str
    pull_request: _Pull
    changes: _Changes | None = None


class _MergeGroup(_Part):
    base_ref: str


class _Merging(_Part):
    merge_group: _MergeGroup


class _WorkflowRun(_Part):
    action: str


_Shape = TypeVar("_Shape", bound=_Part)

_TOLD_OF_REQUESTS = frozenset(
    {"opened", "reopened", "closed", "synchronize", "edited", "ready_for_review", "converted_to_draft"}
)
"""What can change a plan, or let something in; labels, assignees and the like can't."""


def wakes(event: str, body: bytes, tracked: Tracked) -> frozenset[Wake]:
    """What a delivery wakes; empty: nobody.

    Raises:
        Malformed: The body is not JSON, or not of that event.
    """
    document = load(body)
    judge = _JUDGES.get(event)
    about = _shaped(_About, document).repository
    if judge is None or about is None or not _is_meant(about, event, tracked):
        return frozenset()
    return judge(document, tracked)


def _is_meant(about: _Repository, event: str, tracked: Tracked) -> bool:
    name = about.full_name.casefold()
    if event == "workflow_run" and name in {builder.casefold() for builder in tracked.builders}:
        return True
    known = tracked.id()
    return about.id == known if known is not None else name == tracked.name.casefold()


def _push(document: object, tracked: Tracked) -> frozenset[Wake]:
    ref = _shaped(_Push, document).ref
    return frozenset({LOOK} if ref == f"refs/heads/{tracked.branch}" else ())


def _pull_request(document: object, tracked: Tracked) -> frozenset[Wake]:
    told = _shaped(_PullRequest, document)
    if told.action not in _TOLD_OF_REQUESTS or tracked.branch not in _bases(told):
        return frozenset()
    return _of_request(told.pull_request)


def _bases(told: _PullRequest) -> set[object]:
    """The branch that it is against, and the one that it was against before it was pointed elsewhere."""
    moved = told.changes.base if told.changes else None
    before = moved.ref.get("from") if moved and moved.ref else None
    return {told.pull_request.base.ref, before if isinstance(before, str) else None}


def _review(document: object, tracked: Tracked) -> frozenset[Wake]:
    pull = _shaped(_PullRequest, document).pull_request
    return _of_request(pull) if pull.base.ref == tracked.branch else frozenset()


def _of_request(pull: _Pull) -> frozenset[Wake]:
    """Of what is merged, a word can let it in; of what is not, it can change the plan alone."""
    return frozenset({Wake(pull.number), LOOK} if pull.merged_at else {Wake(pull.number)})


def _merge_group(document: object, tracked: Tracked) -> frozenset[Wake]:
    ref = _shaped(_Merging, document).merge_group.base_ref
    return frozenset({LOOK} if ref == f"refs/heads/{tracked.branch}" else ())


def _workflow_run(document: object, tracked: Tracked) -> frozenset[Wake]:  # noqa: ARG001 - one signature for all
    return frozenset({LOOK} if _shaped(_WorkflowRun, document).action == "completed" else ())


_JUDGES: dict[str, Callable[[object, Tracked], frozenset[Wake]]] = {
    "push": _push,
    "pull_request": _pull_request,
    "pull_request_review": _review,
    "merge_group": _merge_group,
    "workflow_run": _workflow_run,
}


def _shaped(shape: type[_Shape], document: object) -> _Shape:
    try:
        return shape.model_validate(document)
    except ValidationError:
        raise Malformed("not what the event says") from None


# --- JSON ---------------------------------------------------------------------------------------

_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
"""Texts, which may hold anything, and what opens or closes a level."""


def load(body: bytes) -> object:
    """Decode JSON in UTF-8, without duplicate keys or NaN, and not deeper than `DEEPEST`.

    Raises:
        Malformed: It is something else.
    """
    depth = 0
    for mark in _MARKS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark[0], 0)
        if depth > DEEPEST:
            raise Malformed("nested too deeply")
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("a key that stands twice")
    return document


def _no_constant(_: str) -> object:
    raise Malformed("a number that JSON does not have")
