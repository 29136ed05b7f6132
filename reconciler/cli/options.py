"""Options and arguments that several commands share. Light: every command's `--help` imports this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.core import durations


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Globals:
    """What stands before the command."""

    config: Path | None


def known_environments(ctx: typer.Context, incomplete: str) -> list[str]:
    """For completion in a shell: names that begin like this. Says nothing when none can be told."""
    from reconciler.cli import completing

    root = ctx.find_root()
    named = root.params.get("config") or (root.obj.config if isinstance(root.obj, Globals) else None)
    names = completing.environments(Path(str(named)) if named else None)
    return [name for name in names if name.startswith(incomplete)]


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the answer.")]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C, and print what changes.")]
EnvironmentArgument = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment's name.", autocompletion=known_environments)
]
MaybeEnvironmentArgument = Annotated[
    str | None, typer.Argument(metavar="ENV", help="The environment's name.", autocompletion=known_environments)
]
EnvironmentsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ENV", help="Environments; all when left out.", autocompletion=known_environments),
]

_BARE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms)?")


def seconds(text: str) -> float:
    """A duration such as `90`, `100ms`, `30s`, `5m`, `1h30m`, in seconds.

    Raises:
        Stop: It is none.
    """
    if match := _BARE.fullmatch(text):
        return float(match[1]) * (0.001 if match[2] else 1.0)
    try:
        return durations.parse(text)
    except ValueError:
        raise Stop(ExitCode.USAGE, f"{text!r} is not a duration", "write 30s, 5m or 1h30m") from None


def settings_file(ctx: typer.Context) -> Path | None:
    """The settings file that was named before the command."""
    return ctx.obj.config if isinstance(ctx.obj, Globals) else None
