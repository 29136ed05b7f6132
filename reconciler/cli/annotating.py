"""What `validate` found, as annotations of GitHub Actions: shown at the very line of a pull request.

Two rules of escaping, GitHub's own: one for what stands behind the second `::`, a stricter one for what stands before.
What a file can choose is only ever in such a place, so that it can't become a command to the runner.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.core.readable import escape

if TYPE_CHECKING:
    from reconciler.cli.validation import Findings

WORKSPACE = "GITHUB_WORKSPACE"
"""The variable with the folder that the paths of annotations are meant from."""


class Form(StrEnum):
    """How the findings are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    GITHUB = "github"


FormOption = Annotated[
    Form, typer.Option("--output", "-o", help="How to print the answer; github: as annotations of a workflow.")
]


def annotations_of(findings: Findings) -> Iterator[str]:
    """One command to the runner for each problem and note."""
    for problem in findings.problems:
        yield _command("error", problem.file, problem.line, problem.column, str(problem))
    for note in findings.notes:
        yield _command("warning", note.file, note.line, note.column, str(note))


def _command(level: str, file: str, line: int, column: int, message: str) -> str:
    place = f"file={_property(escape(_from_workspace(file)))},line={line},col={column}"
    return f"::{level} {place}::{_data(escape(message))}"


def _from_workspace(file: str) -> str:
    workspace = os.environ.get(WORKSPACE)
    path = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links
    return str(path.relative_to(workspace)) if workspace and path.is_relative_to(workspace) else file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
