"""A promotion or a rollback as a branch: what stands on the tracked branch, the commit, the push, the pull request.

The same move twice gives one branch, one commit and one pull request: its branch is named after it, and what stands
there already is compared with what would be made. A branch on which anybody did something else is left alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from reconciler import wiring
from reconciler.bounds import Bounds
from reconciler.cli import memory
from reconciler.cli.exits import ExitCode, Stop, code_of
from reconciler.cli.render import note
from reconciler.core import authoring
from reconciler.core.authoring import Move, Pin
from reconciler.core.declare import FOLDER, POLICY, Declaration, environment_name, with_artifact
from reconciler.core.folder import is_regular, read_entry
from reconciler.core.rules import NO_POLICY, RevokedSpec, Rules, read_policy, with_revocation
from reconciler.core.yamltree import MAX_BYTES, Malformed
from reconciler.errors import PolicyDenied, Reason, ReconcilerError
from reconciler.git.author import MAX_COMMITS, AuthorFailed, Clone, Trouble
from reconciler.model import Commit, CommitId, EnvironmentName, Proposal, TreeEntry
from reconciler.ports import Forge
from reconciler.settings import Settings

POLICY_FILE = f"{FOLDER}/{POLICY}"
_CODES = {Trouble.NO_CLONE: ExitCode.USAGE, Trouble.CREDENTIALS: ExitCode.CREDENTIALS}


@dataclass(frozen=True, slots=True)
class File:
    """One environment's file at the tip."""

    path: str
    data: bytes
    declaration: Declaration

    @property
    def pin(self) -> Pin:
        """What it declares."""
        return Pin(self.declaration.run_id, self.declaration.sha256)


@dataclass(frozen=True, slots=True)
class Tip:
    """The tracked branch at the remote as it is now, in a person's clone."""

    clone: Clone
    remote: str
    branch: str
    commit: CommitId
    entries: Mapping[str, TreeEntry]
    """Paths below the declarations' folder."""

    def file(self, name: str) -> File:
        """What is declared for an environment.

        Raises:
            Stop: There is no such environment.
            PolicyDenied: `InvalidDeclaration`, with every problem of its file.
        """
        if name not in (known := self.environments()):
            raise memory.unknown(name, known)
        path, entry = f"{name}.yaml", self.entries[f"{name}.yaml"]
        contents = self.clone.read([entry])
        reading, data = read_entry(path, entry, contents), contents.get(entry.blob)
        if reading.declaration is None or data is None:
            hint = "mend the file on the branch first; `reconciler validate` checks it"
            raise PolicyDenied(Reason.INVALID_DECLARATION, "\n".join(map(str, reading.problems)), hint)
        return File(f"{FOLDER}/{path}", data, reading.declaration)

    def policy(self) -> bytes | None:
        """The policy file; None when there is none.

        Raises:
            PolicyDenied: `InvalidDeclaration`: something else stands in its place.
        """
        entry = self.entries.get(POLICY)
        if entry is None:
            return None
        data = self.clone.read([entry]).get(entry.blob) if is_regular(entry) else None
        if data is None:
            message = f"{POLICY_FILE} is not a regular file of at most {MAX_BYTES} bytes"
            raise PolicyDenied(Reason.INVALID_DECLARATION, message, "mend the policy file on the branch first")
        return data

    def environments(self) -> tuple[EnvironmentName, ...]:
        """Every environment that has a file."""
        return tuple(name for path in self.entries if (name := _name(path)))


@dataclass(frozen=True, slots=True)
class Proposed:
    """What came of it."""

    move: Move
    diff: str
    commit: CommitId | None = None
    """None: nothing was made, as only a look was asked for."""
    pushed: bool = False
    """False: the branch was there, with just this."""
    signed: bool = False
    url: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def look(folder: Path, remote: str, branch: str, bounds: Bounds) -> Tip:
    """Fetch the tracked branch.

    Raises:
        AuthorFailed: No clone, or no answer.
        Stop: There is no such branch.
    """
    clone = Clone(folder, remote, bounds)
    commit = clone.fetch(branch)
    if commit is None:
        hint = "name the tracked branch with --branch, or in the settings (repository.branch)"
        raise Stop(ExitCode.FAILED, f"there is no branch {branch!r} at {remote}", hint)
    return Tip(clone, remote, branch, commit, clone.tree(commit, FOLDER))


def prepare(tip: Tip, file: File, move: Move) -> Proposed:
    """What the move changes, with nothing made yet.

    Raises:
        PolicyDenied: `InvalidDeclaration`: the policy file can't be read, so nothing can be added to it.
    """
    before: dict[str, bytes | None] = {file.path: file.data}
    after = {file.path: with_artifact(file.path, file.data, move.after.run_id, move.after.sha256)}
    if move.revoked:
        before[POLICY_FILE] = policy = tip.policy()
        spec = RevokedSpec(sha256=move.revoked.sha256, reason=move.revoked.reason)
        try:
            after[POLICY_FILE] = with_revocation(POLICY_FILE, policy, spec)
        except Malformed as malformed:
            problems = "\n".join(map(str, malformed.problems))
            raise PolicyDenied(Reason.INVALID_DECLARATION, problems, "mend the policy file first") from None
    changed = {path: data for path, data in after.items() if data != before[path]}
    return Proposed(move, "".join(authoring.diff(path, before[path], changed[path]) for path in changed), files=changed)


def push(tip: Tip, prepared: Proposed) -> Proposed:
    """Make the branch what it should be, unless it is.

    Raises:
        AuthorFailed: Git or the remote said no; nothing was pushed.
        Stop: Somebody else's commits are on the branch.
    """
    move, clone = prepared.move, tip.clone
    clone.identify()
    there = clone.fetch(move.branch)
    tree = clone.write_tree(tip.commit, prepared.files)
    signs = clone.signs()
    if there:
        stands = clone.commit(there)
        signed = stands.signature is not None
        if stands.parents == (tip.commit,) and clone.tree_of(there) == tree and signed >= signs:
            return replace(prepared, commit=there, signed=signed)
        _refuse_foreign(tip, there, move)
    commit = clone.commit_tree(tip.commit, tree, move.message, sign=signs)
    clone.push(commit, move.branch, there)
    return replace(prepared, commit=commit, pushed=True, signed=signs)


def with_url(settings: Settings, tip: Tip, done: Proposed) -> Proposed:
    """Open the pull request, where there are some.

    Raises:
        Stop: There are, and it could not be opened; the branch stays.
    """
    if settings.forge is None:
        return done
    move = done.move
    with tempfile.TemporaryDirectory(prefix="reconciler-author-") as scratch:
        try:
            forge = cast("Forge", wiring.makers(settings, Path(scratch))["forge"]())
        except ReconcilerError as error:  # the keys or tokens that it asks for may be the operator's alone
            note(f"note: the forge is not asked from here: {error.message}")
            return done
        try:
            url = forge.propose(Proposal(move.branch, tip.branch, move.title, move.body))
        except ReconcilerError as error:
            message = f"{move.branch} is pushed, but no pull request was opened: {error.message}"
            raise Stop(code_of(error), message, error.hint or "the same command again tries it again") from None
    return replace(done, url=url)


def rules_at(tip: Tip) -> Rules:
    """The policy that stands at the tip, whether or not it was let in: what revokes there, revokes at once."""
    data = tip.policy()
    reading = read_policy(POLICY_FILE, data) if data is not None else NO_POLICY
    return Rules((reading.document,) if reading.document else (), ())


def stop(failed: AuthorFailed) -> Stop:
    """How git's no ends a command."""
    return Stop(_CODES.get(failed.trouble, ExitCode.FAILED), failed.message, failed.hint)


def how_to_let_in(tip: Tip, move: Move) -> tuple[str, ...]:
    """What somebody else types where there are no pull requests."""
    return (
        f"git fetch {tip.remote}",
        f"git switch {tip.branch}",
        f"git merge --ff-only {tip.remote}/{tip.branch}",
        f"git merge --no-ff -S {tip.remote}/{move.branch}",
        f"git push {tip.remote} {tip.branch}",
    )


def _refuse_foreign(tip: Tip, there: CommitId, move: Move) -> None:
    """A branch is built anew only when nothing of anybody's own work is lost by it."""
    brought = tip.clone.brought(tip.commit, there)
    foreign = [commit for commit in brought if not _is_ours(tip, commit, move)]
    if not foreign and len(brought) <= MAX_COMMITS:
        return
    who = f"{foreign[0].id[:12]} of {foreign[0].committer}" if foreign else f"more than {MAX_COMMITS} commits"
    raise Stop(
        ExitCode.REFUSED,
        f"the branch {move.branch} at {tip.remote} holds work that this command did not make: {who}",
        f"see whose it is; once nobody needs it, `git push {tip.remote} --delete {move.branch}`",
    )


def _is_ours(tip: Tip, commit: Commit, move: Move) -> bool:
    said = authoring.trailers(commit.message)
    if said is None or len(commit.parents) != 1:
        return False
    path = f"{FOLDER}/{move.environment}.yaml"
    allowed = {path, POLICY_FILE} if said.revoked else {path}
    sides = [tip.clone.tree(name, path).get("") for name in (commit.parents[0], commit.id)]
    contents = tip.clone.read([side for side in sides if side])
    before, after = (contents.get(side.blob) if side else None for side in sides)
    return tip.clone.changed(commit) <= allowed and authoring.is_ours(commit.message, move.environment, before, after)


def _name(path: str) -> EnvironmentName | None:
    try:
        return environment_name(path)
    except Malformed:
        return None
