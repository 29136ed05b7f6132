"""`plan`: what a merge would change, before anybody merges it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import settings_file

if TYPE_CHECKING:
    from reconciler.core.plandoc import ChangePlan
    from reconciler.wiring import System


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
    head: Annotated[
        str | None, typer.Option(metavar="REV", help="What is merged; default: HEAD.", show_default=False)
    ] = None,
    repo: Annotated[Path, typer.Option(metavar="DIR", help="The clone that the revisions are in.")] = Path(),
    request: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="A pull request instead; no clone is needed.", show_default=False),
    ] = None,
    comment: Annotated[bool, typer.Option("--comment", help="Show it on the pull request, too.")] = False,
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
    from reconciler.cli.progress import showing
    from reconciler.settings import load

    if request is None and comment:
        raise Stop(ExitCode.USAGE, "--comment needs the pull request", "name it: --request NUMBER")
    if request is not None and (base is not None or head is not None):
        raise Stop(ExitCode.USAGE, "--request names what is merged, and into what", "leave --base and --head out")
    settings = load(settings_file(ctx))
    with memory.opened(settings) as store, showing("looking at what a merge would change"):
        system = wiring.build(settings, store)
        if request is None:
            found = _of_clone(system, repo, base, "HEAD" if head is None else head)
        else:
            found = _of_request(system, request, comment=comment)
    _print(found, output)
    if exit_code and found.refused:
        raise typer.Exit(ExitCode.REFUSED)


def _of_clone(system: System, repo: Path, base: str | None, head: str) -> ChangePlan:
    """Two revisions of a clone on this machine."""
    from reconciler.cli.planning.clone import Clone
    from reconciler.planning.gather import gather

    clone = Clone.at(repo)
    onto, what = clone.commit(base) if base else None, clone.commit(head)
    settings = system.settings
    return gather(
        system.world, system.catalog, settings.repository.branch, settings.state / "plan", what, onto, clone.git_dir
    )


def _of_request(system: System, number: int, *, comment: bool) -> ChangePlan:
    """A pull request, which the forge knows; shown there too when that is asked for."""
    from reconciler.planning import request as requests

    settings, requested = system.settings, system.pull_requests
    if requested is None:
        raise Stop(ExitCode.USAGE, "the forge in the settings has no pull requests", "plan a branch: --head REV")
    branch = settings.repository.branch
    found = requested.get(number)
    if found is None:
        raise Stop(ExitCode.USAGE, f"#{number} is no open pull request against {branch!r}")
    planned = requests.make(system.world, system.catalog, branch, settings.state / "plan", found)
    if comment:
        requested.show(planned.notice)
    if planned.plan is None:
        assert planned.error is not None
        raise planned.error
    return planned.plan


def _print(found: ChangePlan, output: Form) -> None:
    match output:
        case Form.JSON:
            import json

            from reconciler.cli.planning import document
            from reconciler.cli.render import raw

            raw(json.dumps(document.document(found), indent=2))
        case Form.MARKDOWN:
            from reconciler.cli.render import raw
            from reconciler.planning import markdown

            raw(markdown.comment(found))
        case Form.TEXT:
            from reconciler.cli.planning import text

            text.show(found)
