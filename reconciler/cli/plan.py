"""`plan`: what a merge would change, before anybody merges it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.exits import ExitCode
from reconciler.cli.options import settings_file


class Form(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def plan(
    ctx: typer.Context,
    base: Annotated[
        str | None,
        typer.Option(metavar="REV", help="What is merged into; default: the tracked branch's tip.", show_default=False),
    ] = None,
    head: Annotated[str, typer.Option(metavar="REV", help="What is merged.")] = "HEAD",
    repo: Annotated[Path, typer.Option(metavar="DIR", help="The clone that the revisions are in.")] = Path(),
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 when a gate would hold after the merge.")
    ] = False,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print it.")] = Form.TEXT,
) -> None:
    """Show what a merge would change, against what is live now.

    For each environment: the runs, the commits between them, the files of the artifact, the settings, each gate as
    of now, who may approve, and what happens on merge and on failure. Changes nothing.
    """
    from reconciler import wiring
    from reconciler.cli import memory
    from reconciler.cli.planning import gather
    from reconciler.settings import load

    settings = load(settings_file(ctx))
    clone = gather.Clone.at(repo)
    with memory.opened(settings) as store:
        found = gather.gather(wiring.build(settings, store), clone, base, head)
    match output:
        case Form.JSON:
            import json

            from reconciler.cli.planning import document
            from reconciler.cli.render import raw

            raw(json.dumps(document.document(found), indent=2))
        case Form.MARKDOWN:
            from reconciler.cli.planning import markdown
            from reconciler.cli.render import raw

            raw(markdown.comment(found))
        case Form.TEXT:
            from reconciler.cli.planning import text

            text.show(found)
    if exit_code and found.refused:
        raise typer.Exit(ExitCode.REFUSED)
