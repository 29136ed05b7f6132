"""What a promotion or a rollback is called and says: branch, title, message with its evidence, trailers. Pure.

What comes from CI is somebody else's text: each fact becomes one printable line behind a label of ours, so that it
can neither begin a trailer nor move a terminal's cursor. The trailers are written and read here only.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.declare import read, with_artifact
from reconciler.core.readable import spelled
from reconciler.core.yamltree import Malformed
from reconciler.model import Digest, EnvironmentName, Run, RunId

MAX_TEXT = 300
"""Characters of one fact in a message; a longer one is cut."""

_TRAILER = re.compile(r"Reconciler-(Environment|Run|Sha256|Revoked): ([^\s]+)")
_RUN = re.compile(r"[1-9][0-9]{0,18}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """Which way a proposal goes; the first part of its branch's name."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Pin:
    """The two lines of a declaration that a promotion changes."""

    run_id: RunId
    sha256: Digest


@dataclass(frozen=True, slots=True)
class Revocation:
    """The artifact that a rollback leaves, to be run nowhere again."""

    sha256: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """One environment from one artifact to another."""

    kind: Kind
    environment: EnvironmentName
    before: Pin
    after: Pin
    evidence: tuple[str, ...] = ()
    """What speaks for it: one line each."""
    revoked: Revocation | None = None

    @property
    def branch(self) -> str:
        """The branch that carries it: the same for the same move, so that it is proposed once."""
        return f"{self.kind}/{self.environment}/run-{self.after.run_id}"

    @property
    def title(self) -> str:
        """The first line of the message."""
        verb = "Promote" if self.kind is Kind.PROMOTE else "Roll back"
        return f"{verb} {self.environment} to run {self.after.run_id}"

    @property
    def undo(self) -> str:
        """What takes it back. What was revoked comes back by no command."""
        if self.revoked:
            return f"revert this commit, which also lifts the revocation of run {self.before.run_id}"
        return f"reconciler rollback {self.environment} --to {self.before.run_id}"

    @property
    def message(self) -> str:
        """The commit's message: title, evidence, trailers."""
        return f"{self.title}\n\n{self._facts()}\n\nUndo: {self.undo}\n\n{self._trailers()}\n"

    @property
    def body(self) -> str:
        """The same for a pull request, in Markdown. Evidence is in a fence, as CI's words are none of ours."""
        rows = [("now", self.before), ("after the merge", self.after)]
        undo = self.undo if self.revoked else f"`{self.undo}`"
        evidence = "\n".join((*self.evidence, *self._revocation()))
        parts = [
            "| | run | sha256 |\n|---|---|---|",
            *(f"| {label} | {pin.run_id} | `{pin.sha256}` |" for label, pin in rows),
            *(["", f"```text\n{evidence}\n```"] if evidence else []),
            "",
            f"**On merge** {self._on_merge}",
            "",
            f"**Undo** {undo}",
        ]
        return "\n".join(parts) + "\n"

    @property
    def _on_merge(self) -> str:
        what = f"these very bytes become live in {self.environment}, once every gate passes; nothing is rebuilt."
        if self.kind is Kind.ROLLBACK:
            what += " A rollback waits for no other environment and for no freeze."
        return f"{what} What is live stays until then."

    def _facts(self) -> str:
        lines = [
            f"From run {self.before.run_id}, sha256 {self.before.sha256}",
            f"To run {self.after.run_id}, sha256 {self.after.sha256}",
            *self.evidence,
            *self._revocation(),
        ]
        return "\n".join(lines)

    def _revocation(self) -> tuple[str, ...]:
        revoked = self.revoked
        return (fact("Revoked", f"sha256 {revoked.sha256}: {revoked.reason}"),) if revoked else ()

    def _trailers(self) -> str:
        lines = [
            f"Reconciler-Environment: {self.environment}",
            f"Reconciler-Run: {self.after.run_id}",
            f"Reconciler-Sha256: {self.after.sha256}",
        ]
        if self.revoked:
            lines.append(f"Reconciler-Revoked: {self.revoked.sha256}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Trailers:
    """What a message's last lines say of the move that the commit makes."""

    environment: EnvironmentName
    after: Pin
    revoked: Digest | None


# --- what is written ------------------------------------------------------------------------------


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Somebody's text on one printable line: what breaks lines, hides or moves a cursor is spelled out."""
    return spelled(text, limit)


def fact(label: str, text: str) -> str:
    """One line of evidence. The label is ours and comes first: no text can pass itself off as a trailer."""
    return f"{label}: {one_line(text)}"


def ci_facts(run: Run, digest_from: str) -> tuple[str, ...]:
    """What CI says of a run, as evidence.

    Args:
        run: Somebody else's words, all of them.
        digest_from: How the digest is known.
    """
    return (
        fact("CI repository", _repository(run)),
        fact("CI commit", run.commit),
        fact("CI branch", run.branch),
        fact("CI workflow", run.workflow),
        fact("CI event", run.event),
        fact("CI attempt", str(run.attempt)),
        fact("Digest", digest_from),
    )


def _repository(run: Run) -> str:
    return f"{run.repository_name} (id {run.repository})" if run.repository_name else run.repository


def diff(path: str, before: bytes | None, after: bytes) -> str:
    """A unified diff of one file. Lines end where git's do: a carriage return belongs to its line."""
    old = f"a/{path}" if before is not None else "/dev/null"
    lines = difflib.unified_diff(_lines(before or b""), _lines(after), old, f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return list(io.StringIO(data.decode("utf-8", "backslashreplace"), newline="\n"))


# --- what is read back ----------------------------------------------------------------------------


def trailers(message: str) -> Trailers | None:
    """What our own message says in its last paragraph; None when it is not one of ours."""
    found: dict[str, str] = {}
    for line in message.rstrip("\n").rpartition("\n\n")[2].split("\n"):
        match = _TRAILER.fullmatch(line)
        if match and match[1] in found:
            return None
        if match:
            found[match[1]] = match[2]
    run, digest, revoked = found.get("Run", ""), found.get("Sha256", ""), found.get("Revoked")
    if "Environment" not in found or not _RUN.fullmatch(run) or not _DIGEST.fullmatch(digest):
        return None
    pin = Pin(RunId(int(run)), Digest(digest))
    return Trailers(EnvironmentName(found["Environment"]), pin, Digest(revoked) if revoked else None)


def is_ours(message: str, environment: EnvironmentName, before: bytes | None, after: bytes | None) -> bool:
    """Whether a commit did to an environment's file exactly what its trailers say, and so nothing of anybody's own."""
    said = trailers(message)
    if said is None or said.environment != environment or before is None:
        return False
    try:
        return with_artifact("", before, said.after.run_id, said.after.sha256) == after
    except Malformed:
        return False


# --- where to go back to --------------------------------------------------------------------------


def last_good(history: Sequence[Pin], declared: Pin, is_revoked: Callable[[Pin], bool] = lambda _: False) -> Pin | None:
    """The newest other artifact that was there before the declared one first was; None when there is none.

    "Before it first was", so that rolling back twice goes back twice, and not back and forth.

    Args:
        history: Artifacts, newest first.
        declared: What is declared now.
        is_revoked: Whether an artifact may not be gone back to.
    """
    places = [place for place, pin in enumerate(history) if pin.sha256 == declared.sha256]
    earlier = history[places[-1] + 1 :] if places else history
    return next((pin for pin in earlier if pin.sha256 != declared.sha256 and not is_revoked(pin)), None)


def of_run(history: Iterable[Pin], run_id: RunId) -> Pin | None:
    """The newest artifact of a run; None when there is none."""
    return next((pin for pin in history if pin.run_id == run_id), None)


def declared_before(file: str, versions: Iterable[bytes]) -> tuple[Pin, ...]:
    """What the versions of one file declared, newest first, each once in a row.

    Versions that can't be read, or that are about an artifact of another name or source than the newest, are passed
    over: two lines don't lead back to those.
    """
    pins: list[Pin] = []
    about: tuple[str | None, str] | None = None
    for data in versions:
        declaration = read(file, data).declaration
        if declaration is None:
            continue
        about = about or (declaration.artifact.source, declaration.artifact.name)
        pin = Pin(declaration.run_id, declaration.sha256)
        if about == (declaration.artifact.source, declaration.artifact.name) and pins[-1:] != [pin]:
            pins.append(pin)
    return tuple(pins)
