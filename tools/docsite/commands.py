"""The command line, read from the program itself: what `--help` prints, under a heading for each command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from reconciler.cli.app import COMMANDS, PROGRAM, app

WIDTH = 88


def groups() -> dict[str, list[str]]:
    """The names of all commands by the group that the help lists them in; `audit export` is one name."""
    found: dict[str, list[str]] = {}
    for name, place in COMMANDS.items():
        command, _ = _made(name)
        inner = getattr(command, "commands", None)
        found.setdefault(place.group, []).extend([f"{name} {one}" for one in inner] if inner else [name])
    return found


def usage(name: str) -> str:
    """As it is typed, without options."""
    command, context = _made(name)
    return " ".join([name, *(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")])


def first_line(name: str) -> str:
    """The first paragraph of a command's help, on one line."""
    command, _ = _made(name)
    return " ".join((command.help or "").split("\n\n")[0].split()).rstrip(".")


def reference() -> str:
    """Every command in full: the body of a page."""
    return "".join(_sections())


def _sections() -> Iterator[str]:
    _, context = _made("")
    yield f"```text\n{context.get_help().rstrip()}\n```\n"
    for group, names in groups().items():
        yield f"\n## {group}\n"
        for name in names:
            _, context = _made(name)
            yield f"\n### {name}\n\n```text\n{context.get_help().rstrip()}\n```\n"


@cache
def _made(name: str) -> tuple[Any, Any]:
    """A command, and the context that its help is drawn in."""
    command: Any = typer.main.get_command(app)
    context = command.make_context(PROGRAM, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    for part in name.split():
        command = command.get_command(context, part)
        context = command.context_class(command, info_name=part, parent=context)
    return command, context
