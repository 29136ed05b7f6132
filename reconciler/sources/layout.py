"""How runs lie in a folder: `<root>/<run_id>/run.json` with the artifact files beside it.

Shared by the sources that read this layout, wherever the folder is, and by `publish`, which writes it.
Bytes in, facts out; finding the bytes is left to the sources, verdicts about the facts to `core`. The
reader is strict, since a file that can be read in two ways proves nothing; and what it can't read is
`Transient`, since CI may still mend it: an unreadable answer is no answer.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import Artifact, Digest, Run, RunId

RUN_FILE = "run.json"

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_MAX_FILE_NAME = 255
"""Bytes of one file name on every common file system."""
_SHOWN_PROBLEMS = 5
_SHOWN_CHARACTERS = 80


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a character that can't be printed")
    return value


def _file_name(value: str) -> str:
    if "/" in value or "\\" in value or value.startswith((".", "-")) or value == RUN_FILE:
        raise ValueError(f"not a plain file name: no slash, no leading dot or dash, not {RUN_FILE}")
    if len(value.encode()) > _MAX_FILE_NAME:
        raise ValueError(f"longer than {_MAX_FILE_NAME} bytes")
    return value


def _instant(value: object) -> datetime:
    """RFC 3339, section 5.6, to UTC; a time without a zone could mean any of 24 hours."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("not an RFC 3339 time with a zone, such as 2026-03-01T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time out of range") from None


_Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]
_FileName = Annotated[_Text, AfterValidator(_file_name)]
_Positive = Annotated[int, Field(ge=1, le=2**63 - 1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _ArtifactEntry(_Strict):
    name: _Text
    file: _FileName
    size: int = Field(ge=0, le=2**63 - 1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _RunFile(_Strict):
    version: int = Field(ge=1, le=1)  # Literal[1] would take true and 1.0, too
    run_id: _Positive
    repository: _Text
    head_repository: _Text | None = None
    workflow: _Text
    branch: _Text
    event: _Text
    commit: str = Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
    conclusion: _Text
    attempt: _Positive
    created: Annotated[datetime, BeforeValidator(_instant)]
    artifacts: tuple[_ArtifactEntry, ...] = Field(strict=False)


class Unreadable(ValueError):
    """The bytes are no run file; the message names the field."""


def read_run(place: str, data: bytes, run_id: RunId, bounds: Bounds) -> Run:
    """What a `run.json` says.

    Args:
        place: Where the bytes are from, for messages; without secrets.
        data: The whole file, or one byte more than `bounds.run_file_bytes` of it.
        run_id: The run that was asked for: the folder's name.
        bounds: Limits in force.

    Raises:
        Transient: `SourceUnavailable`, naming the place and the field.
    """
    try:
        return parse(data, run_id, bounds)
    except Unreadable as problem:
        raise unavailable(
            f"{place}: {problem}", f"mend {RUN_FILE} where CI writes it, or have CI write it with `reconciler publish`"
        ) from None


def parse(data: bytes, run_id: RunId, bounds: Bounds) -> Run:
    """The same, for whoever is about to write the file.

    Raises:
        Unreadable: Naming the fields, each with what was found.
    """
    if len(data) > bounds.run_file_bytes:
        raise Unreadable(f"larger than the allowed {bounds.run_file_bytes} bytes")
    try:
        entry = _RunFile.model_validate(_json(data))
    except ValidationError as invalid:
        raise Unreadable(_problems(invalid.errors(include_url=False))) from None
    if entry.run_id != run_id:
        raise Unreadable(f"run_id: the file is of run {entry.run_id}, wanted is run {run_id}")
    if len(entry.artifacts) > bounds.run_artifacts:
        raise Unreadable(f"artifacts: {len(entry.artifacts)} of them, allowed are {bounds.run_artifacts}")
    return _run(entry)


def write_run(run: Run) -> bytes:
    """A run as a `run.json`; nothing is checked here."""
    fields = {
        "version": 1,
        "run_id": run.run_id,
        "repository": run.repository,
        "head_repository": run.head_repository,
        "workflow": run.workflow,
        "branch": run.branch,
        "event": run.event,
        "commit": run.commit,
        "conclusion": run.conclusion,
        "attempt": run.attempt,
        "created": run.created.isoformat(),
        "artifacts": [
            {"name": one.name, "file": one.file, "size": one.size, "sha256": one.sha256} for one in run.artifacts
        ],
    }
    return (json.dumps(fields, indent=2) + "\n").encode()


def unavailable(message: str, hint: str = "") -> Transient:
    """The source can't be reached or understood now."""
    return Transient(Reason.SOURCE_UNAVAILABLE, message, hint)


def run_not_found(place: str, run_id: RunId) -> PolicyDenied:
    """The source answers, and has no such run."""
    return PolicyDenied(
        Reason.RUN_NOT_FOUND,
        f"there is no run {run_id}: {place} does not exist",
        "check the run_id; a run appears when CI has published it, and goes when CI's retention ends",
    )


def artifact_missing(place: str, run: Run, artifact: Artifact) -> PolicyDenied:
    """The run is there and lists the artifact, but its file is gone."""
    return PolicyDenied(
        Reason.ARTIFACT_MISSING,
        f"run {run.run_id} lists the artifact {artifact.name!r}, but {place} does not exist",
        "CI may have removed it when its retention ended: promote a newer run, or publish this one again",
    )


def _run(entry: _RunFile) -> Run:
    return Run(
        run_id=RunId(entry.run_id),
        repository=entry.repository,
        head_repository=entry.head_repository or entry.repository,
        workflow=entry.workflow,
        branch=entry.branch,
        event=entry.event,
        commit=entry.commit,
        conclusion=entry.conclusion,
        attempt=entry.attempt,
        created=entry.created,
        artifacts=tuple(Artifact(one.name, one.file, one.size, Digest(one.sha256)) for one in entry.artifacts),
    )


def _json(data: bytes) -> object:
    """JSON by RFC 8259 without what readers disagree on: no duplicate keys, no NaN, UTF-8 only."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("nested too deep to be a run") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 text at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise Unreadable("not JSON: a number with too many digits") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"the key {_short(twice)} a second time")
    return fields


def _refuse(constant: str) -> object:
    raise Unreadable(f"{constant} is not a JSON value")


def _problems(errors: list[ErrorDetails]) -> str:
    told = [_problem(error) for error in errors[:_SHOWN_PROBLEMS]]
    if len(errors) > _SHOWN_PROBLEMS:
        told.append(f"and {len(errors) - _SHOWN_PROBLEMS} more")
    return "; ".join(told)


def _problem(error: ErrorDetails) -> str:
    field = ".".join(str(part) if isinstance(part, int) else ascii(part)[1:-1] for part in error["loc"])
    if error["type"] == "missing":
        return f"{_bounded(field)}: the field is missing"
    if error["type"] == "extra_forbidden":
        return f"{_bounded(field)}: an unknown field"
    wanted = error["msg"].removeprefix("Value error, ")
    return f"{_bounded(field) or 'the file'}: found {_short(error['input'])}; {wanted}"


def _short(value: object) -> str:
    return _bounded(ascii(value))


def _bounded(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
