"""The command line in this process, on a real site: real git, keys, runs, targets and store.

world = CliWorld(tmp_path)
world.site.publish(101)
world.site.declare("dev", 101, approval="none")
assert world("reconcile").exit_code == 0
assert world.json("get")["items"][0]["ready"]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from reconciler.cli.app import app
from tests.site import Site

QUIET = {"NO_COLOR": "1", "RECONCILER_CONFIG": ""}


class CliWorld:
    """A site, and commands on it. New environments need no approval; changes do, unless their file says none."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.site = Site(folder)
        self.site.configure(new_environments="none", **settings)

    def __call__(self, *arguments: str, **variables: str) -> Result:
        """Run one command."""
        return cli("-c", str(self.site.settings_file), *arguments, **variables)

    def json(self, *arguments: str) -> Any:
        """What a command says to a program."""
        return json.loads(self(*arguments, "-o", "json").stdout)


def cli(*arguments: str, **variables: str) -> Result:
    """Run one command without a site; what it raises unexpectedly is the test's failure."""
    result = CliRunner().invoke(app, arguments, prog_name="reconciler", env={**QUIET, **variables})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Program(subprocess.Popen[str]):
    """The real program; ended when what is asked of it in a `with` fails."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)  # type: ignore[arg-type]


def start(*arguments: str, cwd: Path | None = None, **variables: str) -> Program:
    """Start the real program, its output in pipes."""
    argv = [sys.executable, "-m", "reconciler", *arguments]
    environment = {**os.environ, **QUIET, **variables}
    return Program(argv, stdout=-1, stderr=-1, text=True, cwd=cwd, env=environment)


def program(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the real program to its end."""
    with start(*arguments, cwd=cwd, **variables) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
