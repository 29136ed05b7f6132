"""What may stand behind the `?` of the API, and within which bounds. What is misspelt is told, not passed over."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reconciler.core.audit import Kind
from reconciler.views.figures import DAYS
from reconciler.views.states import State

TEXT = 200
"""Characters of one thing that is asked for."""
LAST = 2**53 - 1
"""Largest number that every reader of JSON has."""
EVENTS = 1_000
"""Events of one answer."""

_Text = Annotated[str, Field(max_length=TEXT, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Number = Annotated[int, Field(ge=0, le=LAST)]


class Parameters(BaseModel):
    """Base of them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class BoardParameters(Parameters):
    """Which environments."""

    text: _Text = Field("", description="words, each in the name, the run, the request, an approver or a digest")
    state: State | None = Field(None, description="the worst that is to be said of it")
    page: int = Field(1, ge=1, le=100_000, description="which page; `next` of the one before")
    all: bool = Field(
        False, description="every environment, one document a line, without pages; `text` is looked for in names alone"
    )


class HistoryParameters(Parameters):
    """Which part of a history."""

    before: _Number | None = Field(None, description="attempts before this one; `next` of the page before")


class EventParameters(Parameters):
    """Which events."""

    after: _Number = Field(0, description="events behind this one; `next` of the page before")
    limit: int = Field(100, ge=1, le=EVENTS, description="how many at most")
    environment: _Text = Field("", description="of one environment; left out: of all")


class FollowParameters(Parameters):
    """Where live events begin."""

    after: _Number | None = Field(
        None, description="go on behind this event; left out: with the next that comes. Last-Event-ID comes before it"
    )


class RecordParameters(Parameters):
    """Which audit entries."""

    text: _Text = Field("", description="in any of their texts, whatever its case")
    environment: _Text = Field("", description="of one environment")
    kind: Kind | None = Field(None, description="of one kind")
    before: _Number | None = Field(None, description="entries before this one; `next` of the page before")


class FigureParameters(Parameters):
    """Which deployments."""

    scope: _Text = Field("", description="an environment, or a service; left out: all")
    days: int = Field(30, description="of the last so many days", json_schema_extra={"enum": list(DAYS)})

    @field_validator("days")
    @classmethod
    def _span(cls, value: int) -> int:
        if value not in DAYS:
            raise ValueError(f"one of {', '.join(map(str, DAYS))}")
        return value


class CompareParameters(Parameters):
    """Which two."""

    left: _Text = Field(min_length=1, description="an environment, a run's number, or eight digits or more of a digest")
    right: _Text = Field(min_length=1, description="the other, likewise")
