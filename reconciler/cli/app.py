"""The program: every command in its group, and the one place where errors become words and exit codes.

Nothing heavy is imported here or by the modules of the groups: a command imports what it needs when it
runs, so that `--help` and completion answer at once. Help is plain text, grouped by hand: drawing it takes
rich longer than all the rest.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reconciler import __version__
from reconciler.cli import answers, audit, daemon, declarations, operator, waiting
from reconciler.cli.exits import ExitCode, Stop, code_of
from reconciler.cli.options import Globals
from reconciler.cli.render import problem, raw, say
from reconciler.errors import ReconcilerError

PROGRAM = "reconciler"
_COMPLETE = "_RECONCILER_COMPLETE"
DAEMON, ANSWERS, DECLARATIONS = "Daemon", "Answers", "Declarations"
OPERATOR, AUDIT, TOUR, OTHER = "Operator", "Audit", "Tour", "Other"
_ORDER = (DAEMON, ANSWERS, DECLARATIONS, OPERATOR, AUDIT, TOUR, OTHER)


class Commands(TyperGroup):
    """The commands by group; a failure of the project's own kind ends in a message, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; tell what ended it."""
        try:
            return super().invoke(ctx)
        except ReconcilerError as error:
            problem(f"{error.reason}: {error.message}", error.hint)
            raise typer.Exit(code_of(error)) from None
        except Stop as stop:
            problem(stop.message, stop.hint)
            raise typer.Exit(stop.code) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section of the help for each group."""
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                row = name.ljust(12), command.get_short_help_str(formatter.width - 18)
                groups[command.rich_help_panel].append(row)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class Tour(TyperGroup):
    """The tour's commands, loaded when one of them is asked for."""

    def _load(self) -> None:
        if not self.commands:
            inner: Any = typer.main.get_command(importlib.import_module("reconciler.cli.demo").app)
            self.commands.update(inner.commands)

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in order."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them."""
        self._load()
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name=PROGRAM,
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="The settings; default: RECONCILER_CONFIG, ./reconciler.yaml, /etc."
        ),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Promotion by pull request: drives what runs towards what Git declares, and proves it.

    Exit codes: 0 ok, 1 failed, 2 usage or settings, 3 refused by a gate, 4 needs credentials, 5 timed out, 8 not yet.
    """
    ctx.obj = Globals(config)


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Which shell.")]) -> None:
    """Print the script for completion in a shell."""
    from typer import completion as shells

    if shell not in ("bash", "zsh", "fish"):
        raise Stop(ExitCode.USAGE, f"there is no completion for {shell!r}", "it is there for bash, zsh and fish")
    raw(shells.get_completion_script(prog_name=PROGRAM, complete_var=_COMPLETE, shell=shell))  # type: ignore[attr-defined]


def version() -> None:
    """Print the version."""
    say(f"{PROGRAM} {__version__}")


def main() -> None:
    """Run the program with this process's arguments."""
    if _COMPLETE in os.environ:
        from typer import completion as shells

        shells.completion_init()  # type: ignore[attr-defined]
    app(prog_name=PROGRAM)


_GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    DAEMON: (daemon.run, daemon.reconcile),
    ANSWERS: (answers.get, answers.why, answers.describe, answers.history, answers.events, waiting.wait),
    DECLARATIONS: (declarations.validate, declarations.diff, declarations.schema, declarations.publish),
    OPERATOR: (operator.retry, operator.suspend, operator.resume, operator.check),
    OTHER: (completion, version),
}
for _group, _functions in _GROUPS.items():
    for _function in _functions:
        app.command(rich_help_panel=_group)(_function)
app.add_typer(audit.app, name="audit", rich_help_panel=AUDIT)
app.add_typer(
    typer.Typer(cls=Tour, rich_markup_mode=None, no_args_is_help=True),
    name="demo",
    help="The five-minute tour, offline, on the real parts.",
    rich_help_panel=TOUR,
)
