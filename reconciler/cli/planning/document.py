"""The JSON of `plan`: kind `Plan`. Keys are only ever added; see docs/plan.md."""

from __future__ import annotations

from reconciler.core import plandoc
from reconciler.core.alterations import Setting
from reconciler.core.contents import FileChange, FileFact
from reconciler.core.plandoc import Brief, ChangePlan, Commits, EnvironmentPlan, Files, PolicyChange, Running
from reconciler.documents import Document, declared, gate, kind, live, time


def document(plan: ChangePlan) -> Document:
    """All of it; nothing is left out or cut."""
    return kind(
        "Plan",
        {
            "base": plan.base,
            "head": plan.head,
            "branch": plan.branch,
            "asOf": time(plan.as_of),
            "digest": plan.digest,
            "refused": plan.refused,
            "rewritten": plan.rewritten or None,
            "policy": _policy(plan.policy),
            "problems": list(plan.problems),
            "environments": [_environment(one) for one in plan.environments],
            "concerned": [_brief(one) for one in plan.concerned],
            "concernedNotShown": plan.more,
        },
    )


def _environment(one: EnvironmentPlan) -> Document:
    return {
        "name": one.environment,
        "file": one.file,
        "removed": one.removed,
        "action": one.action.value if one.action else None,
        "digest": one.digest,
        "live": live(one.live, None),
        "liveUnknown": one.live_unknown or None,
        "drift": one.drifted,
        "target": one.target or None,
        "declaredBefore": declared(one.was) if one.was else None,
        "declaredAfter": declared(one.wanted) if one.wanted else None,
        "settings": [_setting(item) for item in one.settings],
        "commits": _commits(one.commits) if one.commits else None,
        "files": _files(one.files) if one.files else None,
        "running": _running(one.running) if one.running else None,
        "gates": [gate(word) for word in one.gates],
        "held": [word.gate.value for word in one.held],
        "notBefore": time(plandoc.earliest(one)),
        "approval": one.approval.message if one.approval else None,
        "onMerge": plandoc.on_merge(one),
        "onFailure": plandoc.on_failure(one) or None,
        "undo": plandoc.undo(one) or None,
    }


def _running(running: Running) -> Document:
    return {
        "activation": running.activation or None,
        "health": running.health or None,
        "within": running.within or None,
        "good": running.good or None,
        "rollback": "hold" if running.hold else "auto",
    }


def _brief(one: Brief) -> Document:
    return {
        "name": one.environment,
        "action": one.action.value if one.action else None,
        "digest": one.digest,
        "held": [word.gate.value for word in one.held],
        "gates": [gate(word) for word in one.held],
        "frozen": {"reason": one.frozen.reason, "opens": time(one.frozen.opens)} if one.frozen else None,
        "frozenBefore": one.was_frozen,
    }


def _policy(change: PolicyChange | None) -> Document | None:
    if change is None:
        return None
    return {
        "before": change.before,
        "after": change.after,
        "problems": list(change.problems),
        "settings": [_setting(item) for item in change.settings],
        "approval": gate(change.approval) if change.approval else None,
    }


def _setting(item: Setting) -> Document:
    return {"path": item.path, "before": item.before, "after": item.after, "loosens": item.loosens}


def _commits(commits: Commits) -> Document:
    return {
        "before": commits.before,
        "after": commits.after,
        "subjects": [{"commit": item.id, "subject": item.subject} for item in commits.subjects],
        "more": commits.more,
    }


def _files(files: Files) -> Document:
    changes = files.changes
    if changes is None:
        return {"unknown": files.unknown}
    return {
        "unknown": None,
        "added": [_file(item) for item in changes.added],
        "changed": [_file(item) for item in changes.changed],
        "removed": [_file(item) for item in changes.removed],
        "unchanged": changes.unchanged,
        "bytesBefore": changes.bytes_before,
        "bytesAfter": changes.bytes_after,
    }


def _file(item: FileChange) -> Document:
    return {"path": item.path, "before": _fact(item.before), "after": _fact(item.after)}


def _fact(fact: FileFact | None) -> Document | None:
    return {"size": fact.size, "executable": fact.executable, "sha256": fact.sha256} if fact else None
