"""How commands are told and typed: help that ends with examples; what was mistyped, and what may have been meant."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from reconciler.cli.coercion import lighten
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.render import problem

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
MISTAKE: Any = _USAGE_ERROR.__mro__[1]
"""What typer raises of a command line that it can't take."""
_EXTRA = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
_SHORT = 200
"""Characters of the sentence that a list of commands has of each."""


class Command(TyperCommand):
    """One command, whose help ends with examples."""

    def get_help_option(self, ctx: Any) -> Any:
        """`--help`, as quickly made as the others."""
        return _quick(super().get_help_option(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What is typed behind its name: an argument that is needed stands there as it is."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments by their names, which say more than their types; then options."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                rows[param.param_type_name].append(record)
        for title, found in (("Arguments", [_untyped(row) for row in rows["argument"]]), ("Options", rows["option"])):
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - what typer passes
        """The examples as they are typed: no line of them is wrapped."""
        write_examples(self.epilog, formatter)


class Group(TyperGroup):
    """Commands of one kind; alone it prints its help."""

    def get_help_option(self, ctx: Any) -> Any:
        """As of a command."""
        return _quick(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What is behind the group's name."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(ExitCode.OK)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command.

        Raises:
            Stop: There is none of that name.
        """
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise self._unknown(ctx, args[0])
        return super().resolve_command(ctx, args)

    def _unknown(self, ctx: Any, name: str) -> Stop:
        close = closest(name, self.commands)
        hint = f"did you mean `{ctx.command_path} {close}`? " if close else ""
        hint += f"`{ctx.command_path} --help` lists all"
        return Stop(ExitCode.USAGE, f"there is no command {name[:80]!r}", hint)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each with the first sentence that is said of it, in full."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, made.get_short_help_str(_SHORT)) for name, made in commands if made is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - what typer passes
        """As of a command."""
        write_examples(self.epilog, formatter)


def _quick(option: Any) -> Any:
    lighten(filter(None, [option]))
    return option


def _untyped(row: tuple[str, str]) -> tuple[str, str]:
    return row[0].partition(" <")[0], row[1].replace("  [required]", "")


def write_examples(epilog: str | None, formatter: Any) -> None:
    """A section of its own, each line as it stands."""
    if epilog:
        with formatter.section("Examples"):
            for line in epilog.splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n" if line else "\n")


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one that may have been meant; also when only its beginning was typed."""
    names = list(known)
    begun = [one for one in names if one.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    return next(iter(difflib.get_close_matches(name, names, n=1)), None)


def tell_mistake(mistake: Any) -> int:
    """Tell what is wrong with the command line as every error is told; returns the exit code."""
    if type(mistake).__name__ == "NoArgsIsHelpError":
        typer.echo(mistake.format_message())
        return ExitCode.OK
    problem(_found(mistake), _hint(mistake))
    return int(mistake.exit_code)


def _found(mistake: Any) -> str:
    name = _name_of(getattr(mistake, "param", None))
    if hasattr(mistake, "param_type"):
        return f"{name} is missing" if name else "something is missing"
    if isinstance(mistake, typer.BadParameter):
        return f"{name}: {mistake.message}" if name else str(mistake.message)
    if hasattr(mistake, "possibilities"):
        return f"there is no option {mistake.option_name[:80]}"
    text = str(mistake.message).rstrip(".")
    if extra := _EXTRA.fullmatch(text):
        return f"too much was typed: {extra[1][:80]}"
    return text[:1].lower() + text[1:]


def _hint(mistake: Any) -> str:
    ctx = getattr(mistake, "ctx", None)
    if ctx is None:
        return ""
    if hasattr(mistake, "possibilities"):
        close = closest(mistake.option_name, _options(ctx))
        meant = f"did you mean {close}? " if close else ""
        return f"{meant}`{ctx.command_path} --help` lists all"
    if isinstance(mistake, typer.BadParameter) and not hasattr(mistake, "param_type"):
        return ""  # the message says what is wanted
    param = getattr(mistake, "param", None)
    if param is not None and param.param_type_name == "option":
        return f"add {_name_of(param)} {param.metavar or ''}".rstrip() + f"; `{ctx.command_path} --help` has examples"
    usage = " ".join(ctx.get_usage().split()).removeprefix("Usage: ")
    return f"type {usage}; `{ctx.command_path} --help` has examples"


def _options(ctx: Any) -> Sequence[str]:
    return [option for param in ctx.command.get_params(ctx) for option in (*param.opts, *param.secondary_opts)]


def _name_of(param: Any) -> str:
    """As it is typed: the longest form of an option, an argument's word."""
    if param is None:
        return ""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name).rstrip(".")
    return str(max(param.opts, key=len))


def tell_bug(error: Exception) -> int:
    """Tell what nobody thought of: by its kind and place, since its words may hold anything; returns the exit code."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        hint = "" if _stands_somewhere() else "the folder that you are in is gone: change to one that is there"
        problem(f"{where}{error.strerror}", hint)
        return ExitCode.FAILED
    problem(
        f"InternalError: unexpected {type(error).__name__} at {_places(error)}",
        "this is a bug: please report this line, and what `reconciler version` prints",
        "InternalError",
    )
    return ExitCode.FAILED


def _stands_somewhere() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109 - whether there is one, not which
    except OSError:
        return False


def _places(error: Exception) -> str:
    """Where it came from, innermost first: lines of this program, no values."""
    found: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith("reconciler."):
            found.append(f"{name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(found[:-4:-1]) or "an unknown place"
