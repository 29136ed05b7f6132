"""What each kind of document holds, in words: for the API's description of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.documents import API_VERSION

_ONE = {
    "name": "its name, with slashes",
    "sync": "how live relates to what is declared: Synced, OutOfSync, Progressing, Held or Unknown",
    "health": "how live itself is: Healthy, Progressing, Degraded or Unknown",
    "ready": "whether it is declared, live and whole",
    "reason": "the stable code of what stands in the way; null when nothing does",
    "message": "the same in a sentence",
    "hint": "what somebody can do",
    "since": "when it began to stand so",
    "declared": "what the file on the branch says: commit, runId, sha256",
    "live": "what serves now: release, runId, sha256, since, request, approvers; null before the first deployment",
    "suspension": "who suspended it and why; null when nobody did",
    "gates": "each gate's verdict, reason, message, evidence, hint, and when it can open",
    "drift": "each path that is not as it was put there",
    "rollback": "whether a rollback would work; null while nobody looked",
}
_CARD = {
    "shortName": "the last part of its name: what tells it from the others of its service",
    "state": "the worst that is to be said of it, in one word",
    "title": "of the change that brought what is live, as somebody wrote it",
    "requestUrl": "where the forge shows that change",
    "notBefore": "when the gate that holds can open at the earliest",
    "behind": "runs that were live before it since the one that is live here; null when nobody can tell",
}
_AS_OF = {"asOf": "when this was told"}

KEYS: Mapping[str, Mapping[str, str]] = {
    "EnvironmentList": {
        "items": "environments in promotion order, each with all that `get` tells, its service, short name and state",
        "page": "which page this is",
        "pages": "how many there are",
        "next": "the next page; null: there is none",
        "total": "all environments",
        "found": "those that were asked for",
        "counts": "all environments by state",
        "trouble": "why the branch is not followed; null when it is",
        "lastEvent": "the newest event that this shows: /events?after= goes on behind it",
        **_AS_OF,
    },
    "Environment": {
        **_ONE,
        **_CARD,
        "file": "the file that declares it",
        "fileUrl": "where the forge lets it be changed",
        "chain": "the proof of what is live, link by link from CI to the disk",
        "promotesFrom": "the environments before it",
        "promotesTo": "those that promote from it",
        "moves": "what somebody can do now, as a command or an address",
        "output": "what the last activation printed",
        "lastEvent": "the newest event that this shows",
        **_AS_OF,
    },
    "AttemptList": {
        "items": "attempts, newest first, each with what it followed, its gates, stages and outcome",
        "next": "the next page begins before this attempt; null: there is none",
    },
    "EventList": {
        "items": "changes of state, oldest first: id, at, environment, sync, health, reason, message, live",
        "next": "goes on behind the last of them",
        "more": "whether there may be more now",
    },
    "AuditEntryList": {
        "items": "entries, newest first, each as its line in an export",
        "next": "the next page begins before this entry; null: there is none",
        "searchedAll": "whether the search went through all of the record",
        "verified": "how far the chain was verified, what is wrong with it, and up to where it is signed",
        **_AS_OF,
    },
    "Figures": {
        "scope": "what was asked for; empty: all environments",
        "days": "of the last so many days",
        "total": "deployments, lead time, failure rate and time to restore, in seconds",
        "each": "the same of each service or environment",
        "byDay": "what was deployed, failed, rolled back and refused on each day, in UTC",
        "leads": "the lead time of each deployment",
        "cut": "whether there was more than is looked at",
        **_AS_OF,
    },
    "Comparison": {
        "left": "the one: environment, runId, sha256, commit, or the problem with it",
        "right": "the other",
        "files": "what was added, changed and removed, with sizes; null when one of them is not at hand",
        "commits": "changes of the declarations between the two",
        "moreCommits": "how many were left out",
        "problem": "why they can't be compared; null when they can",
        "choices": "what can be asked for",
    },
    "Error": {
        "status": "of the answer",
        "reason": "one word for programs",
        "message": "what is wrong",
        "hint": "what to do",
    },
    "Event": {
        "id": "its number: the next has a larger one",
        "at": "when",
        "environment": "of which",
        "sync": "as it stands since",
        "health": "likewise",
        "reason": "likewise",
        "message": "likewise",
        "live": "the release that was live",
    },
}
"""By kind: each key, and what it says."""


def answer(told: str, kind: str) -> dict[str, Any]:
    """An answer, as OpenAPI describes it."""
    keys = KEYS[kind]
    properties: dict[str, Any] = {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}}
    properties |= {key: {"description": meaning} for key, meaning in keys.items()}
    schema = {"title": kind, "type": "object", "required": ["apiVersion", "kind", *keys], "properties": properties}
    return {"description": told, "content": {"application/json": {"schema": schema}}}
