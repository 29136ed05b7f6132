"""How a release is run, as an environment file says it: activation, config, secrets, and what counts as healthy.

What a field may hold is decided here; which commands, units, secrets and hosts an environment may really use is the
operator's word in the settings, and nothing is allowed by default.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from reconciler.core import durations, strict
from reconciler.core.strict import Strict, told
from reconciler.core.yamltree import Ambiguous

MAX_NAMES = 200
"""Most entries of `config`, and of `secrets`."""
_LONGEST_WITHIN = 3_600.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = "RECONCILER_"
_UNIT = re.compile(r"[A-Za-z0-9:_.@][A-Za-z0-9:_.@\\-]*\.(service|socket|timer|path|target)")
_PROGRAM = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*(:([A-Za-z0-9_.][A-Za-z0-9_.-]*|\*))?")
_TCP = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][\x21\x22\x24-\x5b\x5d-\x7e]*)?")
_AGE = re.compile(r"\s*-----BEGIN AGE ENCRYPTED FILE-----\s[A-Za-z0-9+/=\s]*-----END AGE ENCRYPTED FILE-----\s*")
_HIGHEST_PORT = 65_535


def _between(least: float, most: float) -> AfterValidator:
    def check(value: str) -> str:
        if not least <= durations.parse(value) <= most:
            raise ValueError("too short or too long")
        return value

    return AfterValidator(check)


def _argument(value: str) -> str:
    if "\0" in value or not value.isprintable():
        raise ValueError("not printable")
    return value


def _program(value: tuple[str, ...]) -> tuple[str, ...]:
    program = value[0] if value else "."
    parts = program.removeprefix("./").removeprefix("/").split("/")
    if program.startswith("-") or any(part in ("", ".", "..") for part in parts):
        wanted = "a list: a program's name, or its path without . and .. within it, then its arguments"
        raise told("", f"the program {program[:80]!r}" if value else "an empty list", wanted)
    return value


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError("not of this form")
        return value

    return AfterValidator(check)


def _port(value: str) -> str:
    port = value.partition("://")[2] or value
    found = re.search(r":([0-9]+)$", re.split(r"[/?]", port)[0])
    if found and not 1 <= int(found[1]) <= _HIGHEST_PORT:
        raise ValueError("no port")
    return value


def _names(value: dict[str, object]) -> dict[str, object]:
    bad = [name for name in value if not _NAME.fullmatch(name) or name.upper().startswith(_OURS)]
    if bad:
        wanted = f"letters, digits and _, not beginning with a digit or {_OURS}, at most 128 characters"
        raise told("", ", ".join(f"the name {name[:80]!r}" for name in bad), wanted)
    return value


def _value(value: str) -> str:
    if "\0" in value:
        raise told("", "text with a NUL in it", "text that a variable can hold")
    return value


def _address(value: object) -> object:
    """Before anything is shown of it: what stands before an @ may be a password."""
    if isinstance(value, str) and "@" in re.split(r"[/?#]", value.partition("://")[2] or value)[0]:
        raise told("", "an address with a user's name or password in it", "", "a check has no credentials")
    return value


Argv = Annotated[
    tuple[Annotated[str, AfterValidator(_argument), Field(max_length=4_096)], ...],
    AfterValidator(_program),
    Field(min_length=1, max_length=64),
]
"""A program and its arguments; never a shell's line."""
Port = Annotated[str, _matching(_TCP), AfterValidator(_port)]
"""A host and a port, with a colon between them."""


def _just_one(model: Strict, names: tuple[str, ...]) -> None:
    """Raises where not exactly one of the fields is there."""
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise told(given[1] if given else "", found, f"exactly one of {', '.join(names)}")


def _one_of(*names: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in names]})


class ActivateSpec(Strict):
    """What starts a release after the switch."""

    model_config = _one_of("command", "systemd", "supervisor")

    command: Argv | None = Field(
        None,
        description="a list: a program and its arguments, run in the live release's folder; never a shell",
        examples=[["./bin/restart"]],
    )
    systemd: Annotated[str, _matching(_UNIT)] | None = Field(
        None, max_length=256, description="the name of a systemd unit, such as shop.service", examples=["shop.service"]
    )
    reload: bool = Field(
        False, description="true or false: whether the systemd unit is reloaded, not restarted", examples=[True]
    )
    supervisor: Annotated[str, _matching(_PROGRAM)] | None = Field(
        None, max_length=256, description="the name of a supervisord program, or group:program", examples=["shop"]
    )
    deliver: Literal["file", "process", "both"] = Field(
        "file",
        description="file, process or both: how config and secrets reach what is activated",
        examples=["process"],
    )
    within: Annotated[str, _between(1, _LONGEST_WITHIN), BeforeValidator(strict.with_unit)] = Field(
        "60s", description="how long it may take, from 1s to 1h", examples=["90s"]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, ("command", "systemd", "supervisor"))
        if self.reload and not self.systemd:
            raise told("reload", "reload without a systemd unit", "reload beside systemd only")
        if self.deliver != "file" and not self.command:
            raise told("deliver", f"deliver: {self.deliver}", "file, for what is not started by a command")
        return self

    @property
    def kind(self) -> str:
        """Which way it is: `command`, `systemd` or `supervisor`."""
        return "command" if self.command else "systemd" if self.systemd else "supervisor"

    @property
    def within_seconds(self) -> float:
        """The deadline in seconds."""
        return durations.parse(self.within)

    @property
    def words(self) -> str:
        """For people: what is activated."""
        if self.command:
            return f"command {' '.join(self.command)}"
        return f"systemd unit {self.systemd}" if self.systemd else f"supervisor program {self.supervisor}"


def _unseen(pattern: re.Pattern[str], longest: int, wanted: str) -> BeforeValidator:
    """A text of some form. Whatever stands in its place is not shown: it may be the secret itself."""

    def check(value: object) -> object:
        if value is None or (isinstance(value, str) and len(value) <= longest and pattern.fullmatch(value)):
            return value
        raise told("", _hidden(value), wanted)

    return BeforeValidator(check)


def _hidden(value: object) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, Ambiguous):
        return "an empty value" if value.kind == "null" else "something that is no text"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, tuple) else "no text"


_VARIABLE = "the name of a variable in the daemon's environment"
_FILE = "the absolute path of a file on the daemon's machine, without . and .. in it"
_ARMORED = "the value encrypted with age, armored: -----BEGIN AGE ENCRYPTED FILE----- and so on"
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)+")


class SecretSpec(Strict):
    """Where one secret's value is; the value itself never stands in the file in the clear."""

    model_config = _one_of("env", "file", "age")

    env: Annotated[str, _unseen(_NAME, 128, _VARIABLE)] | None = Field(
        None, description=_VARIABLE, examples=["PROD_DATABASE_URL"]
    )
    file: Annotated[str, _unseen(_PATH, 512, _FILE)] | None = Field(
        None, description=_FILE, examples=["/etc/reconciler/secrets/prod/database-url"]
    )
    age: Annotated[str, _unseen(_AGE, 32_768, _ARMORED)] | None = Field(
        None,
        description=_ARMORED,
        examples=["-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24=\n-----END AGE ENCRYPTED FILE-----\n"],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, ("env", "file", "age"))
        return self


def _reference(value: object) -> object:
    if isinstance(value, dict | SecretSpec):
        return value
    raise told("", _hidden(value), "{env: NAME}, {file: /path} or {age: text}", "a value itself never stands in Git")


class HealthSpec(Strict):
    """What shows that a release is healthy."""

    model_config = _one_of("http", "tcp", "command")

    http: Annotated[str, _matching(_URL), AfterValidator(_port), BeforeValidator(_address)] | None = Field(
        None,
        max_length=1_024,
        description="an http or https address that answers with a good status",
        examples=["http://127.0.0.1:8080/healthz"],
    )
    tcp: Port | None = Field(
        None, max_length=262, description="host:port that takes a connection", examples=["127.0.0.1:5432"]
    )
    command: Argv | None = Field(
        None,
        description="a list: a program and its arguments that ends with 0, run in the live release's folder",
        examples=[["./bin/check", "--quick"]],
    )
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = Field(
        (200, 204),
        min_length=1,
        max_length=20,
        description="a list of the good answers to http, such as [200, 204]",
        examples=[[200, 204]],
    )
    body: str | None = Field(
        None,
        min_length=1,
        max_length=1_000,
        description="a text that the answer to http must hold",
        examples=['"status": "ok"'],
    )
    within: Annotated[str, _between(1, _LONGEST_WITHIN), BeforeValidator(strict.with_unit)] = Field(
        "60s", description="how long the first good check may take after an activation, from 1s to 1h", examples=["60s"]
    )
    every: Annotated[str, _between(1, _LONGEST_WITHIN), BeforeValidator(strict.with_unit)] = Field(
        "10s", description="the time between two checks, from 1s to 1h", examples=["10s"]
    )
    timeout: Annotated[str, _between(0.1, 60), BeforeValidator(strict.with_unit)] = Field(
        "5s", description="how long one check may take, from 0.1s to 60s", examples=["2s"]
    )
    successes: int = Field(
        1, ge=1, le=100, description="good checks in a row that make it healthy: 1 to 100", examples=[2]
    )
    failures: int = Field(
        3, ge=1, le=100, description="bad checks in a row that make it unhealthy: 1 to 100", examples=[3]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, ("http", "tcp", "command"))
        only_http = [name for name in ("status", "body") if name in self.model_fields_set]
        if only_http and not self.http:
            raise told(only_http[0], f"{only_http[0]} without http", f"{only_http[0]} beside http only")
        return self

    @property
    def kind(self) -> str:
        """Which way it is: `http`, `tcp` or `command`."""
        return "http" if self.http else "tcp" if self.tcp else "command"

    @property
    def words(self) -> str:
        """For people: what is asked."""
        if self.command:
            return f"command {' '.join(self.command)}"
        return self.http or f"tcp {self.tcp}"

    @property
    def within_seconds(self) -> float:
        """Seconds after an activation in which it must become healthy."""
        return durations.parse(self.within)

    @property
    def every_seconds(self) -> float:
        """Seconds between two checks."""
        return durations.parse(self.every)

    @property
    def timeout_seconds(self) -> float:
        """Seconds after which one check has failed."""
        return durations.parse(self.timeout)


def _references(value: object) -> object:
    if not isinstance(value, dict):
        raise told("", _hidden(value), "")
    return value


_NAMES = Field(max_length=MAX_NAMES, json_schema_extra={"propertyNames": {"pattern": f"^{_NAME.pattern}$"}})

Config = Annotated[
    dict[str, Annotated[str, AfterValidator(_value), Field(max_length=8_192)]], AfterValidator(_names), _NAMES
]
"""Plain settings, by the name of a variable."""
Secrets = Annotated[
    dict[str, Annotated[SecretSpec, BeforeValidator(_reference)]],
    AfterValidator(_names),
    BeforeValidator(_references),
    _NAMES,
]
"""Where the values of secrets are, by the name of a variable."""
