"""What the pages tell people to type exists, and the files that they show are valid."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from reconciler.cli.app import app
from reconciler.core.declare import Declaration, read
from reconciler.core.policyfile import PolicyDocument, read_policy
from reconciler.settings import Settings
from tests.core.test_declare import GOOD
from tests.core.test_running import RUN

DOCS = Path(__file__).parents[2] / "docs"
TYPED = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if "\n$ reconciler " in page.read_text())
SHOWN = [*sorted(f"how-to/{page.name}" for page in (DOCS / "how-to").glob("*.md")), "index.md", "migrating.md"]

_TYPED = re.compile(r"^ *\$ (reconciler (?:.*\\\n)*.*)$", re.MULTILINE)
_YAML = re.compile(r"^( *)```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """What is typed, one command a line; variables have some value."""
    typed = [line.replace("\\\n", " ") for line in _TYPED.findall((DOCS / page).read_text())]
    said = [re.sub(r'"?\$(\w+|\([^)]*\))"?', "1", line) for line in typed]
    return [re.split(r" [|>] ", line)[0] for line in said]


def files(page: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every YAML block, and what is in it."""
    for indent, block in _YAML.findall((DOCS / page).read_text()):
        text = textwrap.dedent((indent and block) or block)
        yield text, yaml.safe_load(text)


def is_valid(text: str, found: Mapping[str, Any]) -> bool:
    """Whether it is an environment file, a part of one, a policy, or settings."""
    known = {info.alias or name for name, info in Declaration.model_fields.items()}
    if "artifact" in found:
        return read("example.yaml", text.encode()).problems == ()
    if set(found) <= known - {"secrets"}:
        return read("example.yaml", (GOOD + ("" if "activate" in found else RUN) + text).encode()).problems == ()
    if set(found) <= set(PolicyDocument.model_fields):
        return read_policy("policy.yaml", ("version: 1\n" + text).encode()).problems == ()
    Settings.model_validate(found)
    return True


@pytest.mark.parametrize("page", TYPED)
def test_each_command_exists_with_its_options(page: str) -> None:
    for line in commands(page):
        command: Any = typer.main.get_command(app)
        context = command.make_context("reconciler", [], resilient_parsing=True)
        rest = shlex.split(line)[1:]
        while hasattr(command, "commands"):
            command = command.get_command(context, rest.pop(0))
            assert command is not None, line
        command.make_context(line, [word for word in rest if word != "--help"], resilient_parsing="--help" in rest)


@pytest.mark.parametrize("page", SHOWN)
def test_each_file_that_is_shown_is_valid(page: str) -> None:
    for text, found in files(page):
        assert is_valid(text, found), text


def test_there_are_commands_and_files_to_look_at() -> None:
    assert sum(len(commands(page)) for page in TYPED) > 60
    assert sum(len(list(files(page))) for page in SHOWN) > 8
