"""The program as a process: what it imports, how it starts, stops and fails, and what it leaves to the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from structlog import get_logger
from structlog.testing import capture_logs

from reconciler import __version__
from reconciler.cli.app import COMMANDS
from reconciler.cli.exits import ExitCode
from reconciler.cli.log import Trouble
from reconciler.errors import Reason, Transient
from tests.cliworld import CliWorld, cli, program, start
from tests.site import eventually

AWAY = "the repository can't be looked at"
BACK = "the repository can be looked at again"
HEAVY = (
    "sqlalchemy",
    "alembic",
    "requests",
    "structlog",
    "watchfiles",
    "rich.table",
    "rich.console",
    "reconciler.wiring",
)


def imported(*arguments: str, cwd: Path) -> set[str]:
    """The heavy modules that a command imports."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['reconciler', *{list(arguments)!r}]\n"
        "try: runpy.run_module('reconciler', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["get", "--help"], ["demo", "--help"], ["validate"]], ids=" ".join)
def test_help_and_validate_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "environments").mkdir()
    assert imported(*arguments, cwd=tmp_path) == set()


def test_the_probe_for_heavy_modules_finds_them(tmp_path: Path) -> None:
    assert "reconciler.wiring" in imported("get", cwd=tmp_path)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str) -> None:
    result = cli(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: reconciler {command} ")


def test_help_lists_every_command_in_a_group_on_one_line() -> None:
    out = cli("--help").stdout
    for command, place in COMMANDS.items():
        (line,) = [line for line in out.splitlines() if line.startswith(f"  {command} ")]
        assert not line.endswith("..."), line
        assert f"\n{place.group}:\n" in out


@pytest.mark.parametrize("arguments", [["--version"], ["version"]], ids=" ".join)
def test_version(arguments: list[str]) -> None:
    assert cli(*arguments).stdout == f"reconciler {__version__}\n"


def test_a_misspelt_command_gets_the_closest_one() -> None:
    result = program("reconcle")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "did you mean `reconciler reconcile`?" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_the_program(shell: str) -> None:
    assert "_RECONCILER_COMPLETE" in cli("completion", shell).stdout
    assert cli("completion", "tcsh").exit_code == 2


def test_completion_knows_commands_and_environments(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    world.site.declare("staging", 101)
    world("reconcile")

    def completed(words: str) -> list[str]:
        result = program(
            _RECONCILER_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(words.count(" ")),
            RECONCILER_CONFIG=str(world.site.settings_file),
        )
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.split()

    assert completed("reconciler val") == ["validate"]
    assert completed("reconciler why sta") == ["staging"]
    assert completed("reconciler why x") == []
    assert completed("reconciler promote prod --from sta") == ["staging"]


def test_output_into_a_closed_pipe_ends_without_a_traceback(tmp_path: Path) -> None:
    with start("schema") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.declare("dev", 999)
    world("reconcile")
    result = program("-c", str(world.site.settings_file), "get", PYTHONIOENCODING="ascii")
    assert result.stdout.splitlines()[1].split()[1:4] == ["-", "->", "999"]
    result = program("-c", str(world.site.settings_file), "why", "dev", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr.count("Traceback")) == (3, 0)
    assert "x   provenance   HELD" in result.stdout


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "RECONCILER_CONFIG": "", **variables}
    with subprocess.Popen([sys.executable, "-m", "reconciler", *arguments], stdout=theirs, env=environment):
        os.close(theirs)
        out = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4096):
                out += chunk
    os.close(ours)
    return out.decode()


def test_colour_is_for_terminals_whose_user_wants_it(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.declare("dev", 999)
    world("reconcile")
    for command in ("get", "why"):
        arguments = ("-c", str(world.site.settings_file), command, "dev")
        assert "\x1b[" in on_a_terminal(*arguments, NO_COLOR="")
        assert "\x1b" not in on_a_terminal(*arguments, NO_COLOR="1")
        assert "\x1b" not in on_a_terminal(*arguments, NO_COLOR="", TERM="dumb")
        assert "\x1b" not in program(*arguments, NO_COLOR="", FORCE_COLOR="").stdout


def test_a_message_ends_where_the_terminal_does_and_nowhere_else(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.declare("dev", 999)
    world("reconcile")
    for command in (("get",), ("events",)):
        arguments = ("-c", str(world.site.settings_file), *command)
        narrow = on_a_terminal(*arguments, NO_COLOR="1", COLUMNS="90").splitlines()
        assert len(narrow) == 2
        assert len(narrow[1]) == 90
        assert narrow[1].endswith("…")
        full = program(*arguments, COLUMNS="90").stdout.splitlines()
        assert "run.json does not exist" in full[1]
        assert not [line for line in full if line != line.rstrip()]
        wide = on_a_terminal(*arguments, "-o", "wide", NO_COLOR="1", COLUMNS="90")
        assert "run.json does not exist" in wide


def test_on_a_narrow_terminal_a_message_is_readable_or_left_to_wide(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.declare("dev", 999)
    world("reconcile")
    settings = ("-c", str(world.site.settings_file))
    title, row = on_a_terminal(*settings, "get", NO_COLOR="1", COLUMNS="72").splitlines()
    assert ("REVISION" in title, len(row) - title.index("MESSAGE") >= 20, len(row) <= 72) == (False, True, True)
    title, row = on_a_terminal(*settings, "history", "dev", NO_COLOR="1", COLUMNS="80").splitlines()
    assert ("MESSAGE" in title, title.split()[-1], row.split()[-1]) == (False, "REASON", "RunNotFound")
    assert len(row) <= 80
    title, _ = on_a_terminal(*settings, "history", "dev", NO_COLOR="1", COLUMNS="200").splitlines()
    assert title.split()[-1] == "MESSAGE"


# --- the daemon ----------------------------------------------------------------------------------


def lines(log: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_daemon_logs_a_change_of_state_once_and_stops_when_told(tmp_path: Path) -> None:
    world = CliWorld(tmp_path, log_format="json", drift_seconds=0.1)
    world.site.configure(repository={"url": f"file://{world.site.git.origin}", "poll_seconds": 0.1})
    world.site.publish(101)
    world.site.declare("dev", 101)
    world.site.declare("prod", 999)
    log = tmp_path / "daemon.log"
    with world.site.daemon() as process:
        eventually(lambda: log.exists() and len(log.read_text().splitlines()) >= 3)
        assert world("wait", "dev", "--for", "run=101").exit_code == 0
        world.site.push("dev", 102)
        assert world("wait", "dev", "--for", "Held").exit_code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    started, *changes, stopped = lines(log)
    assert (started["event"], started["branch"], stopped["event"]) == ("started", "main", "stopped")
    assert sorted((line["environment"], line["sync"]) for line in changes) == [
        ("dev", "Held"),
        ("dev", "Synced"),
        ("prod", "Held"),
    ]
    assert all(line["hint"] for line in changes if line["sync"] == "Held")
    assert set(changes[0]) == {
        "event", "level", "timestamp", "environment", "commit", "run_id", "pass_id", "live", "sync", "health", "reason",
        "message",
    } | ({"hint"} if changes[0]["sync"] == "Held" else {"attempts"})  # fmt: skip


def test_no_credentials_of_the_repository_s_url_reach_the_log_or_a_message(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://deployer:hunter2@127.0.0.1:{unused.getsockname()[1]}/acme.git"
        world.site.configure(repository={"url": url, "poll_seconds": 0.1})
        log = tmp_path / "daemon.log"
        with world.site.daemon():
            eventually(lambda: log.exists() and "can't be looked at" in log.read_text())
        result = world("check")
        assert world("reconcile").exit_code == 1
    assert "http://127.0.0.1" in log.read_text()
    assert "hunter2" not in log.read_text() + result.stdout + result.stderr + world("reconcile").stderr


def test_trouble_with_the_repository_is_logged_once_and_so_is_its_end(tmp_path: Path) -> None:
    world = CliWorld(tmp_path, log_format="json")
    world.site.configure(repository={"url": str(world.site.git.origin), "poll_seconds": 0.1})
    gone = world.site.git.origin.with_name("gone")
    world.site.git.origin.rename(gone)
    log = tmp_path / "daemon.log"
    with world.site.daemon() as process:
        eventually(lambda: log.exists() and "can't be looked at" in log.read_text())
        assert process.poll() is None
        gone.rename(world.site.git.origin)
        eventually(lambda: BACK in log.read_text())
    assert [line["event"] for line in lines(log)] == ["started", AWAY, BACK, "stopped"]


def test_the_same_trouble_is_told_once() -> None:
    away = Transient(Reason.REPOSITORY_UNAVAILABLE, "no answer")
    with capture_logs() as told:
        trouble = Trouble(get_logger())
        for problem in (None, away, away, KeyError("bug"), KeyError("bug"), None, None, away):
            trouble.looked(problem)
    events = [(line["event"], line["log_level"]) for line in told]
    assert events == [
        (AWAY, "warning"),
        ("unexpected error in the poll", "error"),
        (BACK, "info"),
        (AWAY, "warning"),
    ]


def test_a_failing_collection_is_told_once_and_is_no_trouble_of_the_repository() -> None:
    full = Transient(Reason.CUSTODY_UNAVAILABLE, "no space")
    other = Transient(Reason.TARGET_UNAVAILABLE, "no such disk")
    with capture_logs() as told:
        trouble = Trouble(get_logger())
        for problem in (None, full, None, full, None, other, None):
            trouble.looked(problem)
    event = "custody keeps what nobody may need any more"
    assert [(line["event"], line["message"]) for line in told] == [(event, "no space"), (event, "no such disk")]


def test_a_pass_that_hangs_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = {"type": "http", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/runs"}
        provenance = {"repositories": ["*"], "workflows": ["*"]}
        world = CliWorld(tmp_path, stop_seconds=0.2, sources={"ci": {**source, "provenance": provenance}})
        world.site.declare("dev", 101)
        with start("-c", str(world.site.settings_file), "run") as process, silent.accept()[0]:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=15)
        assert process.returncode == 1
        assert "a pass did not end in time; leaving it" in log
        assert "Traceback" not in log


def test_the_log_s_lines_are_its_own(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    evil = "x: 'a'\n" + 'y: "\\e[31m\\n2026 [info] state changed"\n'
    world.site.git.direct_push(world.site.engineer, "environments/dev.yaml", evil)
    log = tmp_path / "daemon.log"
    with world.site.daemon():
        eventually(lambda: log.exists() and "InvalidDeclaration" in log.read_text())
    text = log.read_text()
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3


def test_every_command_exit_code_and_kind_is_documented() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "cli.md").read_text()
    assert [name for name in COMMANDS if f"`{name}" not in text] == []
    assert [code for code in ExitCode if f"\n| {int(code)} | " not in text] == []
    source = "".join(file.read_text() for file in (root / "reconciler" / "cli").rglob("*.py"))
    assert [kind for kind in re.findall(r'kind\(\s*"(\w+)"', source) if f"`{kind}`" not in text] == []
