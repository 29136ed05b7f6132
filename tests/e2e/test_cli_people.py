"""The terminal as people meet it: what is mistyped, half known, narrow, closed or interrupted."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.cells import cell_len

from reconciler.cli import completing, examples
from reconciler.cli.app import COMMANDS, app, main
from reconciler.errors import Reason
from tests.cliworld import CliWorld, cli, program, start


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> CliWorld:
    """A site with one environment that is well, and one that is held."""
    made = CliWorld(tmp_path_factory.mktemp("people"))
    made.site.publish(101)
    made.site.declare("shop/staging", 101)
    made.site.declare("prod", 999)
    assert made("reconcile").exit_code == 3
    return made


def on_a_terminal(width: int, *arguments: str, **variables: str) -> str:
    """What the program writes to a terminal of that width, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "RECONCILER_CONFIG": "", **variables}
    environment.pop("COLUMNS", None)
    argv = [sys.executable, "-m", "reconciler", *arguments]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        out = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4096):
                out += chunk
    os.close(ours)
    return out.decode()


# --- help and mistakes ---------------------------------------------------------------------------


def leaves() -> dict[str, Any]:
    """Every command by the words that are typed for it."""
    root: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name in COMMANDS:
        command = root.commands[name]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


@pytest.mark.parametrize("path", sorted(leaves()))
def test_each_command_has_examples_that_it_takes(path: str) -> None:
    root: Any = typer.main.get_command(app)
    lines = [line for _, typed in examples.EXAMPLES[path] for line in typed.replace("\\\n", " ").splitlines()]
    assert lines
    for line in lines:
        for part in re.split(r" \| | > |<\(|\)", line):
            words = shlex.split(part)
            if not words or words[0] != "reconciler":
                continue
            outer = root.make_context("reconciler", words[1:])
            typed_words: list[str] = [*outer._protected_args, *outer.args]
            command, rest = root.commands[typed_words[0]], typed_words[1:]
            if inner := getattr(command, "commands", None):
                command, rest = inner[rest[0]], rest[1:]
            command.make_context(typed_words[0], rest, parent=outer)  # raises on what it does not take
    assert f"$ {lines[0].split(chr(92))[0].rstrip()}" in cli(*path.split(), "--help").stdout


def test_no_example_is_of_a_command_that_is_gone() -> None:
    assert set(examples.EXAMPLES) == {"", *leaves()}


@pytest.mark.parametrize("arguments", [[], ["audit"], ["demo"]], ids=["reconciler", "audit", "demo"])
def test_a_group_alone_prints_its_help(arguments: list[str]) -> None:
    alone = cli(*arguments)
    assert (alone.exit_code, alone.stderr) == (0, "")
    assert alone.stdout == cli(*arguments, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["reconcil"], "did you mean `reconciler reconcile`?"),
        (["audit", "verfy"], "did you mean `reconciler audit verify`?"),
        (["get", "--outptu"], "did you mean --output?"),
        (["get", "-o", "jsn"], "did you mean json?"),
        (["why", "-o", "jsn"], "did you mean json?"),
        (["explain", "selfaproval"], "did you mean SelfApproval?"),
        (["explain", "frozen", "-o", "nmae"], "did you mean name?"),
        (["completion", "bsh"], "did you mean bash?"),
        (["schema", "polcy"], "did you mean policy?"),
        (["wait", "dev", "--for", "Redy"], "did you mean Ready?"),
        (["rollback", "prod", "--to", "abc"], "--to: found 'abc'; wanted a whole number of at least 1"),
        (["history", "--limit", "0"], "--limit: found '0'; wanted a whole number of at least 1"),
        (["why"], "ENV is missing\nhint: type reconciler why [OPTIONS] ENV;"),
        (["suspend", "prod"], "--reason is missing\nhint: add --reason TEXT;"),
        (["why", "a", "b"], "too much was typed: b"),
        (["-c", "/nowhere.yaml", "get"], "hint: name a file that is there: -c FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_with_what_may_have_been_meant(arguments: list[str], told: str) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert result.stderr.startswith("error: ")


def test_a_mistyped_environment_has_its_likeliest(world: CliWorld) -> None:
    for command in (["why", "pord"], ["get", "pord"], ["diff", "pord"], ["history", "pord"]):
        assert "did you mean prod?" in world(*command).stderr
    assert "did you mean prod?" in world("wait", "pord", "--timeout", "0s").stderr


def test_the_settings_are_named_before_or_behind_the_command(world: CliWorld) -> None:
    settings = str(world.site.settings_file)
    before, behind = cli("-c", settings, "get", "-o", "name"), cli("get", "-o", "name", "--config", settings)
    assert before.stdout == behind.stdout == "prod\nshop/staging\n"
    assert "nowhere.yaml" in cli("audit", "export", "-c", "/nowhere.yaml").stderr


# --- reasons -------------------------------------------------------------------------------------


def test_a_reason_is_explained_and_in_json_too() -> None:
    told = cli("explain", "SELFAPPROVAL").stdout
    assert told.startswith("SelfApproval, given by the gate approval\n")
    assert "\nWhat to do\n  - Have somebody approve" in told
    assert "](" not in told
    document = json.loads(cli("explain", "SelfApproval", "-o", "json").stdout)
    assert (document["kind"], document["code"], document["givenBy"]) == ("Reason", "SelfApproval", "the gate approval")
    assert set(document) == {"apiVersion", "kind", "code", "givenBy", "summary", "sections", "related"}
    assert document["sections"][4]["title"] == "What to do"


def test_without_a_reason_all_are_listed() -> None:
    assert cli("explain", "-o", "name").stdout.split() == list(Reason)
    items = json.loads(cli("explain", "-o", "json").stdout)["items"]
    assert [item["code"] for item in items] == list(Reason)
    assert set(items[0]) == {"code", "givenBy", "summary"}
    assert len(cli("explain").stdout.splitlines()) == len(Reason) + 1


def test_holds_and_failures_point_at_the_page_of_their_reason(world: CliWorld) -> None:
    for command in (["why", "prod"], ["describe", "prod"]):
        assert re.search(r"^  See +reconciler explain RunNotFound$", world(*command).stdout, re.MULTILINE)
        assert "explain" not in json.dumps(world.json(*command))
    assert "See" not in world("why", "shop/staging").stdout
    late = world("wait", "prod", "--timeout", "0s")
    assert late.stderr.endswith("\nsee: reconciler explain RunNotFound\n")
    (world.site.folder / "broken").mkdir(mode=0o700, exist_ok=True)
    (world.site.folder / "broken" / "reconciler.db").write_text("this is no database" * 100)
    failed = program("get", RECONCILER_STATE=str(world.site.folder / "broken"))
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "see: reconciler explain StoreUnavailable")


# --- terminals -----------------------------------------------------------------------------------


def test_forty_columns_are_enough_for_the_answers(world: CliWorld) -> None:
    settings = ("-c", str(world.site.settings_file))
    for command in (["why", "prod"], ["explain", "HealthCheckFailed"], ["explain"]):
        lines = on_a_terminal(40, *settings, *command).splitlines()
        assert [line for line in lines if cell_len(line) > 40 and not line.startswith("note: ")] == []
    title, *rows = on_a_terminal(40, *settings, "get").splitlines()
    assert title.split() == ["NAME", "RUN", "SYNC", "HEALTH", "MESSAGE"]
    assert "Held" in rows[0]


def test_progress_is_for_terminals_and_leaves_the_answer_alone(world: CliWorld) -> None:
    arguments = ("-c", str(world.site.settings_file), "wait", "prod", "--timeout", "1s")
    seen = on_a_terminal(80, *arguments)
    assert "prod: Held, Unknown, RunNotFound; gives up in " in seen
    assert "\x1b[2Kerror: prod: not Ready after 1s" in seen  # its line is wiped before anything else is told
    piped = program(*arguments)
    assert (piped.stdout, "gives up" in piped.stderr) == ("", False)
    assert "gives up" not in on_a_terminal(80, *arguments, TERM="dumb")


def test_ctrl_c_ends_a_watch_without_a_word(world: CliWorld) -> None:
    with start("-c", str(world.site.settings_file), "get", "-w") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, "")


def test_closed_and_full_outputs_end_without_a_traceback(world: CliWorld) -> None:
    reconciler = f"{shlex.quote(sys.executable)} -m reconciler -c {shlex.quote(str(world.site.settings_file))}"
    for tail in (">&-", "2>&-", "<&-", "> /dev/full", "-o json | head -1", "-o name | true"):
        done = subprocess.run(["sh", "-c", f"{reconciler} get {tail}"], capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr, tail
        assert "InternalError" not in done.stderr, tail
    assert (
        "No space left"
        in subprocess.run(["sh", "-c", f"{reconciler} get > /dev/full"], capture_output=True, text=True).stderr
    )


def test_a_folder_that_is_gone_is_told_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && {shlex.quote(sys.executable)} -m reconciler validate"
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONSAFEPATH": "1"}
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "the folder that you are in is gone" in done.stderr


def test_a_bug_is_told_by_its_place_and_not_by_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], world: CliWorld
) -> None:
    monkeypatch.setattr("reconciler.cli.story.tell_why", lambda *_: {}["hunter2"])  # type: ignore[index]
    monkeypatch.setattr(sys, "argv", ["reconciler", "-c", str(world.site.settings_file), "why", "prod"])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == 1
    assert told.startswith("error: InternalError: unexpected KeyError at reconciler.cli.")
    assert "hunter2" not in told
    assert "Traceback" not in told


# --- quick ---------------------------------------------------------------------------------------


def loaded(arguments: list[str], **variables: str) -> set[str]:
    """Which slow modules the program has loaded at its end."""
    slow = ("pydantic", "sqlalchemy", "rich", "requests", "reconciler.wiring", "reconciler.settings")
    code = (
        "import sys\n"
        f"sys.argv = ['reconciler', *{arguments!r}]\n"
        "from reconciler.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *[name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables})
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [["get", "--help"], ["audit", "verify", "--help"], ["version"]], ids=" ".join)
def test_help_loads_nothing_slow(arguments: list[str]) -> None:
    assert loaded(arguments) == set()


def test_completion_of_environments_loads_nothing_slow_and_knows_them(world: CliWorld) -> None:
    settings = str(world.site.settings_file)

    def completed(words: str) -> list[str]:
        asked: dict[str, Any] = {
            "_RECONCILER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        assert loaded([], RECONCILER_CONFIG=settings, **asked) == set()
        done = program(RECONCILER_CONFIG=settings, **asked)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    assert completed("reconciler why ") == ["prod", "shop/staging"]
    assert completed("reconciler explain Self") == ["SelfApproval"]
    assert completed("reconciler get -o js") == ["json"]


def test_without_a_memory_the_work_tree_s_files_are_completed_but_for_hostile_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "environments" / "shop"
    folder.mkdir(parents=True)
    for name in ("prod.yaml", "policy.yaml", "$(touch x).yaml", "a b.yaml", "Prod.yaml", "note.txt"):
        (folder / name).write_text("")
    (folder.parent / "policy.yaml").write_text("")
    monkeypatch.setenv("RECONCILER_STATE", str(tmp_path / "none"))
    monkeypatch.chdir(folder)
    assert completing.environments(None) == ("shop/policy", "shop/prod")
    assert completing.environments(tmp_path / "no such file") == ("shop/policy", "shop/prod")
