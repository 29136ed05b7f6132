"""An environment file's bytes into a `Declaration`, or into every problem of the file at once.

The schema is the pydantic model below; its field descriptions are at once the JSON Schema that editors
use and the "wanted" of each error. What a field may hold is decided here; whether the operator allows
it (roots, sources) is decided by the gates.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from reconciler.core import durations, strict
from reconciler.core.running import ActivateSpec, Config, HealthSpec, Secrets
from reconciler.core.strict import RunNumber, Sha256, Strict, told
from reconciler.core.strictjson import canonical
from reconciler.core.yamltree import Malformed, Path, Problem, decode, parse
from reconciler.model import Digest, EnvironmentName, RunId

FOLDER = "environments"
POLICY = "policy.yaml"
"""Reserved for the rules that are common to all environments."""
MAX_NAME = 200
"""Characters of an environment's name; it becomes part of file names and metrics."""

_LONGEST_SOAK = 365 * 86_400
_SEGMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DECIDES_NOTHING = re.compile(
    r"(version|approval|promote|suspend|rollback|drift|artifact\.(source|run_id|sha256))(\.|$)"
)
"""What a release does not notice: how it came there. Its run and content are compared for themselves."""
_IS_GIVEN = re.compile(r"(activate\.(?!within)|config|secrets)")
"""What an activation gets; a changed one is a new activation."""
READINGS = 256
"""Files that are not parsed again: one pass asks for the same few several times. At most 16 MiB of text."""
TEXT_PATHS: frozenset[Path] = frozenset({("artifact", "sha256")})


def _clean_path(value: str) -> str:
    parts = value.split("/")
    if not value.startswith("/") or value == "/" or any(part in ("", ".", "..") for part in parts[1:]):
        raise ValueError("not a normal absolute path")
    if not value.isprintable() or any(part.startswith("-") for part in parts):
        raise ValueError("a part that begins with - or can't be printed")
    return value


def _after(names: tuple[str, ...]) -> tuple[str, ...]:
    bad = [f"the name {name[:80]!r}" for name in dict.fromkeys(names) if not is_environment_name(name)]
    again = [f"{name[:80]} more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    wanted = ["the name of an environment, such as staging or shop/staging"] if bad else []
    if bad or again:
        raise told("", ", ".join(bad + again), ", ".join([*wanted, *(["each environment once"] if again else [])]))
    return names


def _soak(value: str) -> str:
    if durations.parse(value) > _LONGEST_SOAK:
        raise ValueError("too long")
    return value


class ArtifactSpec(Strict):
    """Which bytes: one artifact of one CI run, pinned by content."""

    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] | None = Field(
        None,
        description="the name of a source in the operator's settings; may be left out when there is only one",
        examples=["ci"],
    )
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+ -]{0,127}$",
        description="the artifact's name within the run: letters, digits and . _ + - or space, at most 128",
        examples=["shop"],
    )
    run_id: RunNumber = Field(
        description="the CI run that built it: a whole number from 1, in plain decimal, without quotes",
        examples=[17243512345],
    )
    sha256: Sha256 = Field(
        description="64 lower-case hex digits: the SHA-256 of the file exactly as CI stored it",
        examples=["5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"],
    )
    unpack: Literal["outer", "inner"] = Field(
        "outer",
        description="outer or inner: the artifact itself is the archive, or holds a single archive that is",
        examples=["inner"],
    )


class PromoteSpec(Strict):
    """Where the same artifact must have proven itself before it may come here."""

    after: Annotated[tuple[str, ...], AfterValidator(_after)] = Field(
        min_length=1,
        max_length=20,
        description="a list of 1 to 20 environments, each once, where the same sha256 must be live and healthy",
        examples=[["staging"]],
    )
    soak: Annotated[str, AfterValidator(_soak), BeforeValidator(strict.with_unit)] = Field(
        "0s",
        description="for how long it must have been so without a break, at most 365d: 90s, 30m, 1.5h, 2d or 1h30m",
        examples=["30m"],
    )

    @property
    def soak_seconds(self) -> float:
        """The soak in seconds."""
        return durations.parse(self.soak)


class ApprovalSpec(Strict):
    """Who must let a change of this file in. A change is judged by what stood here before it."""

    required: int = Field(
        1, ge=1, le=20, description="how many people must approve, no author among them: 1 to 20", examples=[2]
    )
    from_: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(
        None,
        alias="from",
        strict=False,
        min_length=1,
        max_length=100,
        description="a list of names, e-mail addresses or @teams who may approve; left out: whoever may write",
        examples=[["release-lead@example.com", "@acme/sre"]],
    )
    allow_self: bool = Field(
        False,
        description="true or false: whether an author may be the one who approves, for one-person teams",
        examples=[True],
    )


class DirectoryTarget(Strict):
    """A folder on this machine: releases beside each other, `current` pointing at the live one."""

    type: Literal["directory"] = Field(
        description="directory: a folder on the daemon's machine", examples=["directory"]
    )
    path: Annotated[str, AfterValidator(_clean_path)] = Field(
        max_length=512,
        description="an absolute path without . or .. and not /, below a root that the operator allows",
        examples=["/srv/shop/prod"],
    )
    keep: int = Field(
        5, ge=1, le=100, description="how many releases are kept for rollback, live among them: 1 to 100", examples=[5]
    )


class Declaration(Strict):
    """What one environment should run, and who decides."""

    version: int = Field(ge=1, le=1, description="1, the version of this format", examples=[1])
    artifact: ArtifactSpec = Field(
        description="a mapping: which bytes",
        examples=[
            {
                "name": "shop",
                "run_id": 17243512345,
                "sha256": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
            }
        ],
    )
    promote: PromoteSpec | None = Field(
        None,
        description="a mapping: where the same artifact must be live and healthy before it may come here",
        examples=[{"after": ["staging"], "soak": "30m"}],
    )
    approval: ApprovalSpec | Literal["none"] = Field(
        default_factory=lambda: ApprovalSpec.model_construct(required=1, from_=None, allow_self=False),
        description="a mapping: who must let a change in; or the word none, for an environment without a gate",
        examples=[{"required": 1}, "none"],
    )
    target: DirectoryTarget = Field(
        description="a mapping: where releases live", examples=[{"type": "directory", "path": "/srv/shop/prod"}]
    )
    activate: ActivateSpec | None = Field(
        None,
        description="a mapping: what starts a release after the switch",
        examples=[{"systemd": "shop.service"}, {"command": ["./bin/restart"]}],
    )
    config: Config = Field(
        default_factory=dict,
        description="a mapping of names to texts: plain settings for what is activated",
        examples=[{"PORT": "8080"}],
    )
    secrets: Secrets = Field(
        default_factory=dict,
        description="a mapping of names to where their values are: {env: NAME}, {file: /path} or {age: text}",
        examples=[{"DATABASE_URL": {"env": "PROD_DATABASE_URL"}}],
    )
    health: HealthSpec | None = Field(
        None,
        description="a mapping: what shows that a release is healthy",
        examples=[{"http": "http://127.0.0.1:8080/healthz", "within": "60s"}, {"tcp": "127.0.0.1:5432"}],
    )
    rollback: Literal["auto", "hold"] = Field(
        "auto",
        description="auto or hold: what follows when a release does not run: back to the last good one, or nothing",
        examples=["hold"],
    )
    drift: Literal["repair", "report"] = Field(
        "repair",
        description="repair or report: what follows when what is live is not as it was put there",
        examples=["report"],
    )
    suspend: bool = Field(False, description="true or false: true leaves this environment alone", examples=[True])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = [name for name in ("config", "secrets") if getattr(self, name)]
        if given and self.activate is None:
            raise told(given[0], f"{given[0]} without activate", "activate beside it: else nothing notices them")
        twice = sorted(self.config.keys() & self.secrets.keys())
        if twice:
            raise told("secrets", f"{', '.join(twice)} in config and in secrets", "each name in one of them")
        return self

    @property
    def run_id(self) -> RunId:
        """The declared run."""
        return RunId(self.artifact.run_id)

    @property
    def sha256(self) -> Digest:
        """The declared content."""
        return Digest(self.artifact.sha256)

    @property
    def bars(self) -> tuple[ApprovalSpec | Literal["none"], ...]:
        """The approvals that a change of the file must satisfy."""
        return (self.approval,)

    @property
    def place(self) -> str | None:
        """Where its releases live."""
        return self.target.path

    @property
    def is_run(self) -> bool:
        """Whether anything is to be seen of how it runs: it is activated, or asked for its health."""
        return self.activate is not None or self.health is not None

    @property
    def activation(self) -> Digest:
        """Of all that an activation is given, but for the release and the values of secrets."""
        given = {path: value for path, value in self._said().items() if _IS_GIVEN.match(path)}
        return Digest(hashlib.sha256(canonical(given).encode()).hexdigest())

    def leaves(self) -> dict[str, object]:
        """What it says, by dotted path; a list is one leaf."""
        return strict.leaves(self)

    def _said(self) -> dict[str, object]:
        """The leaves without those left out, so that a field which the format gets later changes no digest."""
        return {path: value for path, value in self.leaves().items() if value is not None}

    @property
    def runtime(self) -> Digest:
        """Of everything beside the artifact's run and content that decides what runs, and where."""
        deciding = {path: value for path, value in self._said().items() if not _DECIDES_NOTHING.match(path)}
        return Digest(hashlib.sha256(canonical(deciding).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file says at one commit: a declaration, or why there is none. `digest` names its bytes."""

    file: str
    digest: Digest
    declaration: Declaration | None
    problems: tuple[Problem, ...] = ()

    @property
    def document(self) -> Declaration | None:
        """The declaration, by the name that readings of a policy have for theirs."""
        return self.declaration


def is_environment_name(name: str) -> bool:
    """Whether an environment may be called so."""
    return len(name) <= MAX_NAME and all(_SEGMENT.fullmatch(part) for part in name.split("/"))


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
    if not is_environment_name(name):
        wanted = f"lower-case letters, digits and inner -, folders with /, at most {MAX_NAME} characters"
        raise Malformed((Problem(f"{FOLDER}/{path}", 1, 1, "", f"the name {name!r}", wanted, "rename the file"),))
    return EnvironmentName(name)


@lru_cache(maxsize=READINGS)
def read(file: str, data: bytes) -> Reading:
    """Read one environment file. Never raises: every problem of the file is in the result, in order of place."""
    digest = Digest(hashlib.sha256(data).hexdigest())
    try:
        return Reading(file, digest, strict.validated(Declaration, file, parse(file, data, TEXT_PATHS)))
    except Malformed as malformed:
        return Reading(file, digest, None, malformed.problems)


def upstreams(file: str, data: bytes) -> tuple[str, ...]:
    """The environments that `promote.after` names, also in a file with mistakes elsewhere; none where it can't be told.

    For pointing out mistakes only: what an environment waits for is what a valid declaration says.
    """
    try:
        root = parse(file, data, TEXT_PATHS).root
    except Malformed:
        return ()
    promote = root.get("promote") if isinstance(root, dict) else None
    after = promote.get("after") if isinstance(promote, dict) else None
    names = [name for name in after if isinstance(name, str)] if isinstance(after, list) else []
    return tuple(name for name in dict.fromkeys(names) if is_environment_name(name))


def with_artifact(file: str, data: bytes, run_id: RunId, sha256: Digest) -> bytes:
    """The same file with another run and digest: two values replaced in place, every other character kept.

    Raises:
        Malformed: The file as it stands is not a valid declaration.
    """
    reading = read(file, data)
    if reading.problems:
        raise Malformed(reading.problems)
    spans = parse(file, data, TEXT_PATHS).spans
    text = decode(file, data)
    edits = [(spans[("artifact", "run_id")], str(run_id)), (spans[("artifact", "sha256")], sha256)]
    for span, value in sorted(edits, key=lambda edit: edit[0].start, reverse=True):
        text = text[: span.start] + value + text[span.end :]
    return text.encode()


def json_schema() -> dict[str, object]:
    """The JSON Schema of an environment file, for editors."""
    return strict.schema(Declaration, "environment", "Environment")
