"""The program: every command in its group, and the one place where errors become words and exit codes.

A command's module is imported, and its parameters are worked out, when it is asked for: `--help` and `validate`
answer at once. Help is plain text, grouped by hand: drawing it takes rich longer than all the rest.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from reconciler import __version__
from reconciler.cli import examples
from reconciler.cli.coercion import lighten
from reconciler.cli.commands import MISTAKE, Command, Group, closest, tell_bug, tell_mistake
from reconciler.cli.exits import ExitCode, Stop, code_of, hint_of, pointer_of
from reconciler.cli.options import Globals, settings_file
from reconciler.cli.render import problem, raw, say
from reconciler.errors import ReconcilerError

PROGRAM = "reconciler"
SHELLS = ("bash", "zsh", "fish")
_COMPLETE = "_RECONCILER_COMPLETE"


class Place(NamedTuple):
    """Where a command is: the group that the help lists it in, and the function, or the app with further ones."""

    group: str
    module: str
    name: str = ""
    help: str = ""

    def load(self) -> Any:
        """Import it."""
        return getattr(importlib.import_module(f"reconciler.cli.{self.module}"), self.name)


COMMANDS = {
    "run": Place("Daemon", "daemon", "run"),
    "reconcile": Place("Daemon", "daemon", "reconcile"),
    "get": Place("Answers", "answers", "get"),
    "why": Place("Answers", "answers", "why"),
    "describe": Place("Answers", "answers", "describe"),
    "history": Place("Answers", "answers", "history"),
    "events": Place("Answers", "answers", "events"),
    "wait": Place("Answers", "waiting", "wait"),
    "explain": Place("Answers", "explaining", "explain"),
    "validate": Place("Declarations", "declarations", "validate"),
    "diff": Place("Declarations", "declarations", "diff"),
    "schema": Place("Declarations", "declarations", "schema"),
    "publish": Place("Declarations", "declarations", "publish"),
    "plan": Place("Promotion", "plan", "plan"),
    "promote": Place("Promotion", "authoring", "promote"),
    "rollback": Place("Promotion", "authoring", "rollback"),
    "retry": Place("Operator", "operator", "retry"),
    "suspend": Place("Operator", "operator", "suspend"),
    "resume": Place("Operator", "operator", "resume"),
    "accept-rewrite": Place("Operator", "operator", "accept_rewrite"),
    "check": Place("Operator", "operator", "check"),
    "notify": Place("Operator", "notify", "notify"),
    "audit": Place("Audit", "audit", "app", "Export the record of what was done; verify an export."),
    "demo": Place("Tour", "demo", "app", "The five-minute tour, offline, on the real parts."),
    "completion": Place("Other", "app", "completion"),
    "version": Place("Other", "app", "version"),
}


class _Made(MutableMapping[str, Any]):
    """Commands by name, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, COMMANDS[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _make(name: str, place: Place) -> Any:
    found = place.load()
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=Command)(found)
        return _finished(typer.main.get_command(alone), name)
    outer = typer.Typer(add_completion=False, rich_markup_mode=None)
    outer.add_typer(found, name=name, cls=Group, help=place.help, rich_help_panel=place.group)
    outer.callback()(lambda: None)
    made: Any = typer.main.get_command(outer)
    group = made.commands[name]
    for inner, command in group.commands.items():
        _finished(command, f"{name} {inner}")
    return group


def _finished(command: Any, path: str) -> Any:
    """With its examples, with `--config` behind it as before it, and with values that are quickly made."""
    command.epilog = examples.of(path)
    command.params.append(_config_behind())
    lighten(command.params)
    return command


def _config_behind() -> Any:
    """The program's own option once more: people type it where they think of it."""
    root: Any = typer.main.get_command(app)
    option = copy.copy(next(param for param in root.params if param.name == "config"))
    option.expose_value, option.callback = False, _take_config
    return option


def _take_config(ctx: Any, _: Any, value: Any) -> None:
    place = ctx if value is not None else None
    while place is not None:
        place.obj, place = Globals(Path(value)), place.parent


class Commands(Group):
    """All commands; a failure of the project's own kind ends in a message, never in a traceback."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Made()
        self.epilog = examples.of("")
        lighten(self.params)

    def main(
        self, args: Any = None, prog_name: Any = None, complete_var: Any = None, *settings: Any, **more: Any
    ) -> Any:
        """Run the program to its end; what typer itself has to say is said as everything else."""
        standalone_mode = more.pop("standalone_mode", settings[0] if settings else True)
        try:
            code: Any = super().main(args, prog_name, complete_var, standalone_mode=False, **more)
        except MISTAKE as mistake:
            code = tell_mistake(mistake)
        except typer.Abort:
            code = ExitCode.INTERRUPTED
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else ExitCode.OK)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; tell what ended it."""
        try:
            return super().invoke(ctx)
        except ReconcilerError as error:
            problem(f"{error.reason}: {error.message}", hint_of(error, settings_file(ctx)), pointer_of(error))
            raise typer.Exit(code_of(error)) from None
        except Stop as stop:
            problem(stop.message, stop.hint)
            raise typer.Exit(stop.code) from None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What may follow: names of commands are known without making a single one."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from typer import completion

        item: Any = completion.shell_completion.CompletionItem  # type: ignore[attr-defined]
        return [item(name, help=_first_line(place)) for name, place in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - what typer passes
        """One section of the help for each group, without making a single command."""
        for group in dict.fromkeys(place.group for place in COMMANDS.values()):
            rows = [(name.ljust(14), _first_line(p)) for name, p in COMMANDS.items() if p.group == group]
            with formatter.section(group):
                formatter.write_dl(rows)


def _first_line(place: Place) -> str:
    return place.help or str(place.load().__doc__).partition("\n")[0]


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


def completion(
    shell: Annotated[
        str | None,
        typer.Argument(
            metavar="bash|zsh|fish", help="Which shell; default: the one in SHELL.", autocompletion=lambda: list(SHELLS)
        ),
    ] = None,
) -> None:
    """Print the script for completion in a shell.

    It completes commands, options, environments and reasons. Each shell reads it from another place.
    """
    from typer import completion as shells

    wanted = shell or Path(os.environ.get("SHELL", "")).name
    if wanted not in SHELLS:
        close = closest(wanted, SHELLS)
        hint = f"did you mean {close}?" if close else "it is there for bash, zsh and fish"
        raise Stop(ExitCode.USAGE, f"there is no completion for {wanted!r}" if wanted else "which shell?", hint)
    raw(shells.get_completion_script(prog_name=PROGRAM, complete_var=_COMPLETE, shell=wanted))  # type: ignore[attr-defined]


def version() -> None:
    """Print the version."""
    say(f"{PROGRAM} {__version__}")


def _complete() -> None:
    """Ready typer for a shell that asks. Help is plain text here: no need to load rich to take its markup out."""
    from typer import _completion_classes as classes
    from typer import completion as shells

    shells.completion_init()  # type: ignore[attr-defined]
    setattr(classes, "_sanitize_help_text", str)  # noqa: B010 - typer's own, and not for others to name


def main() -> None:
    """Run the program with this process's arguments."""
    # Plug-ins of pydantic's would be looked for among everything that is installed, and none is wanted here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if _COMPLETE in os.environ:
        _complete()
    try:
        app(prog_name=PROGRAM)
    except Exception as error:  # noqa: BLE001 - people are told, and the place is named
        sys.exit(tell_bug(error))
