"""What a branch would be if a commit were merged into it: asked of git, in the mirror, without moving anything.

The commit that comes out is the same for the same two parents: its identity, time and message are fixed, so that
who plans twice plans the same. Nothing refers to it, nor to what was fetched for it; `LocalMirror` keeps such
objects for `local.KEPT` and then lets them go.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.core.readable import escape
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.git.command import Git, GitFailed
from reconciler.git.local import LocalMirror
from reconciler.git.remote import is_commit
from reconciler.model import CommitId

SHOWN = 10
"""Files in conflict that are named; behind them it only matters how many more there are."""
CONFLICT_BYTES = 4 * 1024**2
"""Most bytes of names of files in conflict."""

_IDENTITY = "reconciler plan <plan@reconciler.invalid> 0 +0000"
_CONFLICT = 1


def bring(mirror: LocalMirror, courier: Git, clone: Path, commit: CommitId) -> None:
    """Fetch a commit with its history out of a local clone.

    Args:
        mirror: Where to; the caller has it for itself.
        courier: Runs git with the clone as its only remote.
        clone: The clone's git directory.
        commit: Its full name.

    Raises:
        Transient: `RepositoryUnavailable`: the clone does not hold it, or is shallow and holds half its history.
    """
    try:
        mirror.take(clone, courier, commit)
    except GitFailed as failure:
        raise _not_there(clone, commit, failure.message.partition(": git fetch: ")[2]) from failure
    # Git only warns when it turns down what a shallow clone has.
    code, _, _ = courier.ask(mirror.path, "rev-list", "--quiet", commit, "--not", "--all", "--")
    if code != 0:
        raise _not_there(clone, commit, "")


def merged(git: Git, mirror: Path, base: CommitId, head: CommitId) -> CommitId:
    """A commit with the two as its parents; both are in the mirror with all their history.

    A bare repository without configuration knows no merge driver but git's own, and reads no attributes
    from a commit: nothing that the commits hold is run.

    Raises:
        PolicyDenied: `ApprovalStale`: the two do not merge without a conflict.
        GitFailed: The mirror does not hold both.
    """
    options = ("--write-tree", "--no-messages", "--name-only", "-z")
    code, output, complaint = git.ask(mirror, "merge-tree", *options, base, head, limit=CONFLICT_BYTES)
    tree, *files = output.decode("utf-8", "replace").split("\0")
    if code == _CONFLICT:
        raise _conflict(base, head, tuple(dict.fromkeys(file for file in files if file)))
    if code != 0 or not is_commit(tree):
        if "unrelated histories" in complaint:
            raise _unrelated(base, head)
        raise GitFailed(f"the local mirror: git merge-tree: {complaint or f'ended with {code}'}")
    lines = (f"tree {tree}", f"parent {base}", f"parent {head}", f"author {_IDENTITY}", f"committer {_IDENTITY}")
    raw = "\n".join((*lines, "", f"Merge {head}", "")).encode("ascii")
    name = git.local(mirror, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw, limit=1024)
    return CommitId(name.decode("ascii", "replace").strip())


def _not_there(clone: Path, missing: CommitId, complaint: str) -> Transient:
    return Transient(
        Reason.REPOSITORY_UNAVAILABLE,
        f"{clone} does not give the commit {missing} with its history{f': {complaint}' if complaint else ''}",
        "fetch the branch into this clone; in full, when it is a shallow one: git fetch --unshallow",
    )


def _conflict(base: CommitId, head: CommitId, files: tuple[str, ...]) -> PolicyDenied:
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    named = ", ".join(escape(file) for file in files[:SHOWN])
    return PolicyDenied(
        Reason.APPROVAL_STALE,
        f"{head[:12]} does not merge into {base[:12]} without a conflict in {named}{more}",
        "bring the branch up to date: merge the tracked branch into it, or rebase it, and resolve these files",
    )


def _unrelated(base: CommitId, head: CommitId) -> PolicyDenied:
    return PolicyDenied(
        Reason.APPROVAL_STALE,
        f"{head[:12]} and {base[:12]} have no history in common, so they do not merge",
        "begin the branch at the tracked branch",
    )
