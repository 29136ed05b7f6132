"""The settings' section for notifications: who is told of what, and where."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reconciler.core.allowance import Environments
from reconciler.core.notifying import USUAL
from reconciler.model import NoticeKind
from reconciler.settings.places import at_home


class RouteSettings(BaseModel):
    """Who is told of which environments, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=60,
        description="what the route is called: lower-case letters, digits and -",
    )
    environments: Environments = Field(
        ("*",),
        description="the environments that it tells of: names in which * stands for any characters, also /",
    )
    on: tuple[str, ...] = Field(
        tuple(map(str, USUAL)),
        min_length=1,
        description="what it tells: failed, drifted, degraded, stuck, held, waiting, deployed or recovered",
    )
    url_env: str | None = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",  # what does not look like a name may be the address itself
        description="the variable that holds the address, which is a secret; this or the next is needed",
    )
    url_file: Path | None = Field(
        None, description="the file that holds the address, read anew for each message; it wins over url_env"
    )
    hourly: int = Field(
        30, ge=1, le=600, description="messages an hour in the long run; five may follow each other after a calm"
    )

    @field_validator("on")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not set(value) <= set(NoticeKind):
            raise ValueError("failed, drifted, degraded, stuck, held, waiting, deployed or recovered")
        return value

    @property
    def kinds(self) -> frozenset[NoticeKind]:
        """What it tells."""
        return frozenset(map(NoticeKind, self.on))

    @field_validator("url_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and Path(os.path.abspath(at_home(value)))  # noqa: PTH100 - resolve() would follow links


class NotificationSettings(BaseModel):
    """Who is told when something has to be looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    routes: tuple[RouteSettings, ...] = Field(
        (), max_length=20, description="a list of routes: environments, what is told of them, and where to"
    )
    repeat_seconds: float = Field(
        3_600.0, ge=3_600, le=604_800, description="seconds after which what did not change is told again"
    )
    gather_seconds: float = Field(
        10.0, ge=0, le=600, description="seconds that are waited for more to tell, so that one cause makes one message"
    )
    send_seconds: float = Field(20.0, ge=1, le=120, description="seconds that sending one message may take")
