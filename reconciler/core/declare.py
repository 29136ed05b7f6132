"""An environment file's bytes into a `Declaration`, or into every problem of the file at once.

The schema is the pydantic model below; its field descriptions are at once the JSON Schema that editors
use and the "wanted" of each error. What a field may hold is decided here; whether the operator allows
it (roots, sources) is decided by the gates.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from reconciler.core.yamltree import (
    MAX_PROBLEMS,
    Ambiguous,
    Malformed,
    Path,
    Problem,
    Span,
    Tree,
    Value,
    decode,
    dotted,
    parse,
)
from reconciler.model import Digest, EnvironmentName, RunId

FOLDER = "environments"
POLICY = "policy.yaml"
"""Reserved for the rules that are common to all environments."""
MAX_NAME = 200
"""Characters of an environment's name; it becomes part of file names and metrics."""

_SEGMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LATER = frozenset({"promote", "activate", "health", "config", "secrets", "rollback"})
"""Keys that the format will have: refused by name, never half obeyed."""
_KINDS = {"int": "an integer", "float": "a fraction", "bool": "a boolean", "timestamp": "a date"}
_WRITE = {
    "int_type": "write it as a plain decimal number",
    "string_type": "put it in quotes",
    "bool_type": "write true or false",
}
_TEXT_PATHS: frozenset[Path] = frozenset({("artifact", "sha256")})


def _clean_path(value: str) -> str:
    parts = value.split("/")
    if not value.startswith("/") or value == "/" or any(part in ("", ".", "..") for part in parts[1:]):
        raise ValueError("not a normal absolute path")
    if not value.isprintable() or any(part.startswith("-") for part in parts):
        raise ValueError("a part that begins with - or can't be printed")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=False)


class ArtifactSpec(_Strict):
    """Which bytes: one artifact of one CI run, pinned by content."""

    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] | None = Field(
        None, description="the name of a source in the operator's settings; may be left out when there is only one"
    )
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+ -]{0,127}$",
        description="the artifact's name within the run: letters, digits and . _ + - or space, at most 128",
        examples=["shop"],
    )
    run_id: int = Field(
        ge=1,
        le=2**63 - 1,
        description="the CI run that built it: a whole number from 1, in plain decimal, without quotes",
        examples=[17243512345],
    )
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="64 lower-case hex digits: the SHA-256 of the file exactly as CI stored it",
        examples=["5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"],
    )
    unpack: Literal["outer", "inner"] = Field(
        "outer",
        description="outer or inner: the artifact itself is the archive, or holds a single archive that is",
    )


class ApprovalSpec(_Strict):
    """Who must let a change of this file in. A change is judged by what stood here before it."""

    required: int = Field(1, ge=1, le=20, description="how many people must approve, no author among them: 1 to 20")
    from_: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(
        None,
        alias="from",
        strict=False,
        min_length=1,
        max_length=100,
        description="a list of names, e-mail addresses or @teams who may approve; left out: whoever may write",
    )
    allow_self: bool = Field(
        False, description="true or false: whether an author may be the one who approves, for one-person teams"
    )


class DirectoryTarget(_Strict):
    """A folder on this machine: releases beside each other, `current` pointing at the live one."""

    type: Literal["directory"] = Field(description="directory")
    path: Annotated[str, AfterValidator(_clean_path)] = Field(
        max_length=512,
        description="an absolute path without . or .. and not /, below a root that the operator allows",
        examples=["/srv/shop/prod"],
    )
    keep: int = Field(5, ge=1, le=100, description="how many releases are kept for rollback, live among them: 1 to 100")


class Declaration(_Strict):
    """What one environment should run, and who decides."""

    version: int = Field(ge=1, le=1, description="1, the version of this format")
    artifact: ArtifactSpec = Field(description="a mapping: which bytes")
    approval: ApprovalSpec | Literal["none"] = Field(
        default_factory=lambda: ApprovalSpec.model_construct(required=1, from_=None, allow_self=False),
        description="a mapping: who must let a change in; or the word none, for an environment without a gate",
    )
    target: DirectoryTarget = Field(description="a mapping: where releases live")
    suspend: bool = Field(False, description="true or false: true leaves this environment alone")

    @property
    def run_id(self) -> RunId:
        """The declared run."""
        return RunId(self.artifact.run_id)

    @property
    def sha256(self) -> Digest:
        """The declared content."""
        return Digest(self.artifact.sha256)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file says at one commit: a declaration, or why there is none. `digest` names its bytes."""

    file: str
    digest: Digest
    declaration: Declaration | None
    problems: tuple[Problem, ...] = ()


def environment_name(path: str) -> EnvironmentName | None:
    """The environment that a path below the declarations' folder declares; None when it declares none.

    Raises:
        Malformed: A file that looks like a declaration but whose name can't be an environment's.
    """
    if path.endswith(".yml"):
        problem = Problem(f"{FOLDER}/{path}", 1, 1, "", "the ending .yml", "the ending .yaml", "rename the file")
        raise Malformed((problem,))
    if not path.endswith(".yaml") or path == POLICY:
        return None
    name = path.removesuffix(".yaml")
    if len(name) > MAX_NAME or not all(_SEGMENT.fullmatch(part) for part in name.split("/")):
        wanted = f"lower-case letters, digits and inner -, folders with /, at most {MAX_NAME} characters"
        raise Malformed((Problem(f"{FOLDER}/{path}", 1, 1, "", f"the name {name!r}", wanted, "rename the file"),))
    return EnvironmentName(name)


def read(file: str, data: bytes) -> Reading:
    """Read one environment file. Never raises: every problem of the file is in the result, in order of place."""
    digest = Digest(hashlib.sha256(data).hexdigest())
    try:
        tree = parse(file, data, _TEXT_PATHS)
    except Malformed as malformed:
        return Reading(file, digest, None, malformed.problems)
    try:
        return Reading(file, digest, Declaration.model_validate(_tuples(tree.root)))
    except ValidationError as invalid:
        errors = [error for error in invalid.errors(include_url=False) if not _other_branch(error)]
        problems = {_problem(file, tree, error) for error in errors}
        ordered = sorted(problems, key=lambda p: (p.line, p.column, p.at))
        return Reading(file, digest, None, tuple(ordered[:MAX_PROBLEMS]))


def with_artifact(file: str, data: bytes, run_id: RunId, sha256: Digest) -> bytes:
    """The same file with another run and digest: two values replaced in place, every other character kept.

    Raises:
        Malformed: The file as it stands is not a valid declaration.
    """
    reading = read(file, data)
    if reading.problems:
        raise Malformed(reading.problems)
    spans = parse(file, data, _TEXT_PATHS).spans
    text = decode(file, data)
    edits = [(spans[("artifact", "run_id")], str(run_id)), (spans[("artifact", "sha256")], sha256)]
    for span, value in sorted(edits, key=lambda edit: edit[0].start, reverse=True):
        text = text[: span.start] + value + text[span.end :]
    return text.encode()


def json_schema() -> dict[str, object]:
    """The JSON Schema of an environment file, for editors."""
    schema = Declaration.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "environment.schema.json",
        **schema,
        "title": "Environment",
    }


def _tuples(value: Value) -> Value:
    """Lists as tuples: the strict model holds nothing that can change."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _other_branch(error: ErrorDetails) -> bool:
    """Whether this only says that a mapping is not the word `none`, which nobody meant."""
    return "literal['none']" in error["loc"] and isinstance(error["input"], dict)


def _problem(file: str, tree: Tree, error: ErrorDetails) -> Problem:
    path = tuple(part for part in error["loc"] if part not in ("ApprovalSpec", "literal['none']"))
    if error["type"] == "missing":
        place = tree.keys.get(path[:-1]) or _nearest(tree.spans, path)
        return Problem(file, place.line, place.column, dotted(path), "nothing", _wanted(path), "add this field")
    if error["type"] == "extra_forbidden":
        place = tree.keys.get(path) or _nearest(tree.spans, path)
        allowed = list(_fields(path[:-1]))
        if path[0] in _LATER and len(path) == 1:
            found, wanted = f"the key {str(path[0])!r}", "one of " + ", ".join(allowed)
            return Problem(file, place.line, place.column, "", found, wanted, "this version does not have it yet")
        close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else ""
        found = f"the unknown key {str(path[-1])!r}"
        return Problem(file, place.line, place.column, dotted(path[:-1]), found, "one of " + ", ".join(allowed), hint)
    place = _nearest(tree.spans, path)
    found, hint = _found(error["input"], error["type"])
    return Problem(file, place.line, place.column, dotted(path), found, _wanted(path), hint)


def _found(value: object, error: str) -> tuple[str, str]:
    """What stands there, and how to write what was meant; `error` is pydantic's word for what is wrong."""
    if isinstance(value, Ambiguous):
        kind = _KINDS.get(value.kind, f"a {value.kind}")
        return value.text, f"YAML reads this as {kind}; {_WRITE.get(error, 'write it in full')}"
    if isinstance(value, int | float) and not isinstance(value, bool) and error == "string_type":
        return str(value), _WRITE[error]
    if isinstance(value, str):
        shown = value if len(value) <= 80 else value[:77] + "..."
        length = f" of {len(value)} characters" if len(value) > 40 else ""
        return f"the text {shown!r}{length}", ""
    if value is None:
        return "an empty value", ""
    if isinstance(value, bool):
        return "true" if value else "false", ""
    if isinstance(value, dict):
        return "a mapping", ""
    return ("a list", "") if isinstance(value, tuple) else (str(value), "")


def _nearest(spans: dict[Path, Span], path: Path) -> Span:
    while path and path not in spans:
        path = path[:-1]
    return spans.get(path) or Span(1, 1, 0, 0)


def _fields(path: Path) -> dict[str, tuple[type[BaseModel] | None, str]]:
    """Keys allowed at a path: for each the model below it, if any, and what it wants."""
    model: type[BaseModel] | None = Declaration
    for part in path:
        if model is None or isinstance(part, int):
            continue
        model = _CHILDREN.get(str(part))
    if model is None:
        return {}
    return {
        info.alias or name: (_CHILDREN.get(name), info.description or "") for name, info in model.model_fields.items()
    }


def _wanted(path: Path) -> str:
    named = tuple(part for part in path if isinstance(part, str))
    if not named:
        return "a mapping with the keys " + ", ".join(_fields(()))
    return _fields(named[:-1]).get(named[-1], (None, "something else"))[1]


_CHILDREN: dict[str, type[BaseModel]] = {
    "artifact": ArtifactSpec,
    "approval": ApprovalSpec,
    "target": DirectoryTarget,
}
