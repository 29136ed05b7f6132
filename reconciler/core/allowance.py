"""What the operator lets environments run and ask: rules of the settings that name the environments they are for.

Nothing is allowed that no rule names. A pattern is compared element by element, and never as one line, so that no
argument can pass for two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconciler.core.policyfile import covers
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName

ANY_MORE = "**"
"""As the last element of an argv pattern: any further arguments, or none."""

Environments = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z0-9*-]+(/[a-z0-9*-]+)*$", max_length=200)], ...],
    Field(min_length=1, max_length=100),
]
"""Names of environments in which `*` stands for any characters, also `/`."""


class Allowance(BaseModel):
    """One rule: what it allows stands beside the environments that it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environments: Environments = Field(description="the environments that it is for: names in which * stands for any")

    def covers(self, environment: EnvironmentName) -> bool:
        """Whether it is for this environment."""
        return covers(self.environments, environment)


def _argv(value: tuple[str, ...]) -> tuple[str, ...]:
    if value[0] == ANY_MORE or ANY_MORE in value[:-1]:
        raise ValueError("** stands for any further arguments, so only behind a program, as the last of the list")
    return value


ArgvPattern = Annotated[
    tuple[Annotated[str, Field(max_length=4_096)], ...], Field(min_length=1, max_length=64), AfterValidator(_argv)
]


class CommandAllowance(Allowance):
    """Commands that some environments may run."""

    argv: ArgvPattern = Field(
        description="the program and its arguments, each a pattern in which * stands for any characters; "
        "** as the last one for any further arguments"
    )

    def names(self, argv: Sequence[str]) -> bool:
        """Whether it is about this command."""
        patterns = self.argv
        if patterns[-1] == ANY_MORE:
            patterns, argv = patterns[:-1], argv[: len(patterns) - 1]
        return len(patterns) == len(argv) and all(map(fnmatchcase, argv, patterns))


def not_allowed(environment: EnvironmentName, what: str, key: str, entry: object) -> PolicyDenied:
    """The operator lets this environment do no such thing.

    Args:
        environment: Who wants it.
        what: The thing, behind the word `may not`: `run the command ./bin/restart`.
        key: Where in the settings a rule would allow it: `activators.command.allow`.
        entry: The rule, but for its environments.
    """
    rule = {**entry, "environments": [environment]} if isinstance(entry, dict) else entry
    return PolicyDenied(
        Reason.ACTIVATION_NOT_ALLOWED,
        f"{environment} may not {what}: no rule of the operator's settings allows it",
        f"if it should, the operator adds to {key}: {json.dumps(rule, ensure_ascii=False)}",
    )
