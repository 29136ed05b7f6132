"""`environments/policy.yaml`: what is common to all environments. Floors for approvals, freezes, revocations.

What a policy may say is decided here; which policy counts, and what follows from it, is said in `rules`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from reconciler.core import durations, strict, walltime
from reconciler.core.declare import FOLDER, POLICY, ApprovalSpec
from reconciler.core.strict import RunNumber, Sha256, Strict, Text, told
from reconciler.core.strictjson import canonical
from reconciler.core.yamltree import Malformed, Path, Problem, parse
from reconciler.model import Digest, EnvironmentName, RunId

MAX_ENTRIES = 1000
"""Revocations of one policy."""
MAX_FREEZES = 100
"""Of one policy. To look for the last start of a rare schedule can take milliseconds."""
TEXT_PATHS: frozenset[Path] = frozenset({("freeze", 0, "from"), ("freeze", 0, "to"), ("revoked", 0, "sha256")})

_PATTERN = r"^[a-z0-9*-]+(/[a-z0-9*-]+)*$"
_FORMS = "either from and to, or cron and duration"
_LONGEST = 31 * 86_400
_CRON = 'a schedule in quotes, of five fields: minute, hour, day of month, month, day of week, such as "0 18 * * FRI"'

_ZONED = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{5,8}(Z|[+-][0-9]{2}:?[0-9]{2})")

_Patterns = tuple[Annotated[str, Field(pattern=_PATTERN, max_length=200)], ...]


def _a_zone(value: str) -> str:
    walltime.zone(value)
    return value


def _a_wall_time(value: str) -> str:
    try:
        walltime.wall(value)
    except ValueError:
        if not _ZONED.fullmatch(value):
            raise
        raise told("", f"the text {value[:80]!r}", "", "leave the offset out: the zone goes into time_zone") from None
    return value


def _a_schedule(value: str) -> str:
    try:
        walltime.check_cron(value)
    except ValueError as error:
        raise told("", f"the text {value[:80]!r}", _CRON, str(error)) from None
    return value


def _a_duration(value: str) -> str:
    if not 60 <= durations.parse(value) <= _LONGEST:
        raise ValueError("too short or too long")
    return value


def _environments(what: str) -> str:
    return f"a list of the environments {what}: names in which * stands for any characters, also /; left out: all"


def covers(patterns: tuple[str, ...], environment: str) -> bool:
    """Whether one of the patterns matches an environment's name."""
    return any(fnmatchcase(environment, pattern) for pattern in patterns)


class FloorSpec(ApprovalSpec):
    """An approval that the files of some environments can ask more than, and never less."""

    environments: _Patterns = Field(
        ("*",),
        strict=False,
        min_length=1,
        max_length=100,
        description=_environments("that it holds for"),
        examples=[["prod", "shop/prod-*"]],
    )

    @property
    def spec(self) -> ApprovalSpec:
        """The approval alone."""
        return ApprovalSpec.model_construct(required=self.required, from_=self.from_, allow_self=self.allow_self)

    def covers(self, environment: EnvironmentName) -> bool:
        """Whether it holds for this environment."""
        return covers(self.environments, environment)


class FreezeSpec(Strict):
    """A time in which nothing is promoted: once, from and to; or again and again, by cron and duration."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["from", "to"]}, {"required": ["cron", "duration"]}]}
    )

    reason: Text = Field(
        description="text for people, on one line, of 1 to 200 characters: why nothing may change",
        examples=["the holidays"],
    )
    environments: _Patterns = Field(
        ("*",),
        min_length=1,
        max_length=100,
        description=_environments("that it closes"),
        examples=[["prod", "*/prod"]],
    )
    time_zone: Annotated[str, AfterValidator(_a_zone)] = Field(
        "UTC",
        description="the IANA name of the time zone that the times are meant in, such as Europe/Berlin",
        examples=["Europe/Berlin"],
    )
    from_: Annotated[str, AfterValidator(_a_wall_time)] | None = Field(
        None,
        alias="from",
        description="when it closes, as a wall time such as 2026-12-24T18:00, or a date; together with to",
        examples=["2026-12-24T18:00"],
    )
    to: Annotated[str, AfterValidator(_a_wall_time)] | None = Field(
        None,
        description="when it opens again, as a wall time such as 2026-12-27T08:00, or a date; together with from",
        examples=["2026-12-27"],
    )
    cron: Annotated[str, AfterValidator(_a_schedule)] | None = Field(
        None, description=_CRON + ": when it closes; together with duration", examples=["0 18 * * FRI"]
    )
    duration: Annotated[str, AfterValidator(_a_duration), BeforeValidator(strict.with_unit)] | None = Field(
        None,
        description="how long it stays closed each time, from 1m to 31d, such as 62h; together with cron",
        examples=["62h"],
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [key for key, value in self._form().items() if value is not None]
        if set(given) not in ({"from", "to"}, {"cron", "duration"}):
            missing = {"from": "to", "to": "from", "cron": "duration", "duration": "cron"}
            hint = f"add {missing[given[0]]}" if len(given) == 1 else ""
            raise told(given[0] if given else "", " and ".join(given) or "neither form", _FORMS, hint)
        if not self.cron and self.once[1] <= self.once[0]:
            hint = "to is not part of the freeze: for whole days, write the day after the last one"
            raise told("to", f"{self.to}, which is not after {self.from_}", "a time after from", hint)
        return self

    def _form(self) -> dict[str, str | None]:
        return {"from": self.from_, "to": self.to, "cron": self.cron, "duration": self.duration}

    @property
    def zone(self) -> ZoneInfo:
        """The clock that its times are meant by."""
        return walltime.zone(self.time_zone)

    @property
    def once(self) -> tuple[datetime, datetime]:
        """Of the form with from and to: when it closes, and opens; where a clock was changed, the longest reading."""
        assert self.from_ is not None
        assert self.to is not None
        begin, end = walltime.wall(self.from_), walltime.wall(self.to)
        return walltime.readings(begin, self.zone)[0], walltime.readings(end, self.zone)[1]

    @property
    def lasts(self) -> timedelta:
        """Of the form with cron and duration: the elapsed time for which it stays closed."""
        assert self.duration is not None
        return timedelta(seconds=durations.parse(self.duration))

    def covers(self, environment: EnvironmentName) -> bool:
        """Whether it closes this environment."""
        return covers(self.environments, environment)


class RevokedSpec(Strict):
    """An artifact, or all that a run built, that may not go live any more."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["sha256"]}, {"required": ["run_id"]}]})

    sha256: Sha256 | None = Field(
        None,
        description="64 lower-case hex digits: the artifact that is revoked",
        examples=["5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"],
    )
    run_id: RunNumber | None = Field(
        None,
        description="a whole number from 1, without quotes: the CI run of which every artifact is revoked",
        examples=[17243512345],
    )
    reason: Text = Field(
        description="text for people, on one line, of 1 to 200 characters: what is wrong with it",
        examples=["writes passwords into its log"],
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.sha256 is None) == (self.run_id is None):
            found = "neither sha256 nor run_id" if self.sha256 is None else "both sha256 and run_id"
            raise told("", found, "one of them", "" if self.sha256 is None else "write two entries")
        return self

    def names(self, run_id: RunId, sha256: Digest) -> bool:
        """Whether this revokes it."""
        return self.sha256 == sha256 if self.sha256 else self.run_id == run_id


Entry = FloorSpec | FreezeSpec | RevokedSpec


class PolicyDocument(Strict):
    """Rules that are common to all environments of a repository."""

    version: int = Field(ge=1, le=1, description="1, the version of this format", examples=[1])
    approval: tuple[FloorSpec, ...] = Field(
        (),
        max_length=100,
        description="a list of at most 100 floors: approvals that no environment can go below",
        examples=[[{"required": 1, "environments": ["prod"]}]],
    )
    freeze: tuple[FreezeSpec, ...] = Field(
        (),
        max_length=MAX_FREEZES,
        description="a list of at most 100 freezes: times in which nothing is promoted",
        examples=[[{"reason": "the holidays", "from": "2026-12-23T18:00", "to": "2027-01-04"}]],
    )
    revoked: tuple[RevokedSpec, ...] = Field(
        (),
        max_length=MAX_ENTRIES,
        description="a list of at most 1000 revocations: artifacts and runs that may not go live any more",
        examples=[[{"run_id": 17243512345, "reason": "built on a runner that was broken into"}]],
    )

    @property
    def bars(self) -> tuple[ApprovalSpec, ...]:
        """The approvals that a change of the policy must satisfy."""
        return tuple(floor.spec for floor in self.approval)

    @property
    def place(self) -> str | None:
        """None: a policy has no target."""
        return None

    def entries(self) -> dict[str, Entry]:
        """Each entry of its lists, by a name that is made of what the entry says, wherever it stands."""
        lists: tuple[tuple[str, tuple[Entry, ...]], ...] = (
            ("approval", self.approval),
            ("freeze", self.freeze),
            ("revoked", self.revoked),
        )
        return {f"{name}: {canonical(strict.leaves(entry))}": entry for name, entries in lists for entry in entries}

    def leaves(self) -> dict[str, object]:
        """What it says. Each entry of a list is a leaf of its own.

        As one leaf, a change that adds an entry would vouch for the list, with what a push took out of it before.
        """
        return {"version": self.version, **dict.fromkeys(self.entries(), True)}

    @staticmethod
    def of(entries: Iterable[Entry]) -> PolicyDocument:
        """The policy that says just these."""
        found = tuple(entries)
        return PolicyDocument.model_construct(
            version=1,
            approval=tuple(entry for entry in found if isinstance(entry, FloorSpec)),
            freeze=tuple(entry for entry in found if isinstance(entry, FreezeSpec)),
            revoked=tuple(entry for entry in found if isinstance(entry, RevokedSpec)),
        )


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """What the policy file says at one commit: a document, or why there is none. `digest` names its bytes."""

    file: str
    digest: Digest
    document: PolicyDocument | None
    problems: tuple[Problem, ...] = ()


NO_POLICY = PolicyReading(f"{FOLDER}/{POLICY}", Digest(hashlib.sha256(b"").hexdigest()), PolicyDocument(version=1))
"""Of a commit without a policy file, which is as good as one that asks for nothing."""


def read_policy(file: str, data: bytes) -> PolicyReading:
    """Read a policy file. Never raises: every problem of the file is in the result, in order of place."""
    digest = Digest(hashlib.sha256(data).hexdigest())
    try:
        return PolicyReading(file, digest, strict.validated(PolicyDocument, file, parse(file, data, TEXT_PATHS)))
    except Malformed as malformed:
        return PolicyReading(file, digest, None, malformed.problems)


def policy_json_schema() -> dict[str, object]:
    """The JSON Schema of a policy file, for editors."""
    return strict.schema(PolicyDocument, "policy", "Policy")
