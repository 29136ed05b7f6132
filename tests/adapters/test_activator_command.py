"""Activation by a command, with real programs: what is run, with what, and what is left behind."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

import pytest

from reconciler.activators.command import create
from reconciler.bounds import Bounds
from reconciler.core.running import ActivateSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName
from reconciler.ports import Activator
from tests.jobs import PROD, SECRET, ends, failure, job, parts, release

ANYTHING = {"allow": [{"argv": ["*", "**"], "environments": ["*"], "process": True}]}


def activator(folder: Path, bounds: Bounds | None = None) -> Activator:
    return create(ANYTHING, parts(folder, bounds))


def command(*argv: str, within: str = "20s") -> ActivateSpec:
    return ActivateSpec.model_validate({"command": argv, "within": within})


# --- what the operator allows ------------------------------------------------------------------


def denied(options: dict[str, object], spec: ActivateSpec, folder: Path, environment: str = PROD) -> PolicyDenied:
    with pytest.raises(PolicyDenied) as refused:
        create(options, parts(folder)).allow(EnvironmentName(environment), spec)
    assert refused.value.reason is Reason.ACTIVATION_NOT_ALLOWED
    return refused.value


def test_nothing_is_allowed_by_default(tmp_path: Path) -> None:
    refused = denied({}, command("./bin/restart"), tmp_path)
    assert refused.message == (
        "shop/prod may not run the command ./bin/restart: no rule of the operator's settings allows it"
    )
    assert 'activators.command.allow: {"argv": ["./bin/restart"], "environments": ["shop/prod"]}' in refused.hint


def test_what_is_not_allowed_is_not_run_either(tmp_path: Path) -> None:
    folder = release(tmp_path, touch="touch ran")
    with pytest.raises(PolicyDenied):
        create({}, parts(tmp_path)).activate(command("./bin/touch"), job(folder))
    assert not (folder / "ran").exists()


def test_a_rule_is_for_its_environments_and_its_command(tmp_path: Path) -> None:
    options: dict[str, object] = {"allow": [{"argv": ["./bin/restart"], "environments": ["shop/*"]}]}
    create(options, parts(tmp_path)).allow(PROD, command("./bin/restart"))
    denied(options, command("./bin/restart"), tmp_path, "other/prod")
    denied(options, command("./bin/restart", "--force"), tmp_path)
    denied(options, command("./bin/other"), tmp_path)


@pytest.mark.parametrize("deliver", ["process", "both"])
def test_variables_of_a_process_need_a_word_of_their_own(deliver: str, tmp_path: Path) -> None:
    rule: dict[str, object] = {"argv": ["./bin/restart"], "environments": ["*"]}
    spec = ActivateSpec.model_validate({"command": ("./bin/restart",), "deliver": deliver})
    refused = denied({"allow": [rule]}, spec, tmp_path)
    assert f"as deliver: {deliver} does" in refused.message
    assert '"process": true' in refused.hint
    create({"allow": [rule, {**rule, "process": True}]}, parts(tmp_path)).allow(PROD, spec)


# --- what is run, and with what ----------------------------------------------------------------


def test_it_runs_in_the_release_s_folder_with_nothing_to_read_and_returns_what_it_printed(tmp_path: Path) -> None:
    folder = release(tmp_path, restart='pwd; cat; echo "$@" >&2')
    printed = activator(tmp_path).activate(command("./bin/restart", "$HOME; x", "*"), job(folder))
    assert printed == f"{folder}\n$HOME; x *"


def test_it_finds_the_given_variables_and_few_of_the_daemon_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_DATABASE_URL", SECRET)
    monkeypatch.setenv("HOME", "/home/reconciler")
    folder = release(tmp_path, show="exec env")
    found = activator(tmp_path).activate(command("./bin/show"), job(folder, {"PORT": "8080"}))
    names = dict(line.partition("=")[::2] for line in found.splitlines())
    assert names["PORT"] == "8080"
    assert names["HOME"] == "/home/reconciler"
    assert (names["RECONCILER_ENVIRONMENT"], names["RECONCILER_RELEASE"]) == ("shop/prod", "17-abc")
    assert "PROD_DATABASE_URL" not in names
    harmless = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "PWD", "_"}
    assert set(names) - harmless - {"SHLVL", "OLDPWD"} == {"PORT", "RECONCILER_ENVIRONMENT", "RECONCILER_RELEASE"}


def test_a_bare_name_is_looked_for_along_the_daemon_s_path_and_not_in_the_release(tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "echo").write_text("#!/bin/sh\necho of the release\n")
    (folder / "echo").chmod(0o755)
    assert activator(tmp_path).activate(command("echo", "of the machine"), job(folder)) == "of the machine"
    given = job(folder, {"PATH": str(folder)})
    assert activator(tmp_path).activate(command("echo", "of the machine"), given) == "of the machine"


def test_it_gets_no_descriptor_of_the_daemon(tmp_path: Path) -> None:
    folder = release(tmp_path, show="ls /proc/self/fd | wc -l")
    with socket.socket() as listener:
        listener.set_inheritable(True)
        assert int(activator(tmp_path).activate(command("./bin/show"), job(folder))) <= 4


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("./bin/absent", "./bin/absent: No such file or directory"),
        ("./bin", "./bin is not a file"),
        ("./bin/plain", "./bin/plain is not executable"),
        ("./bin/out", "./bin/out leads out of the release"),
        ("./above/sh", "./above/sh leads out of the release"),
        ("./bin/circle", "./bin/circle: "),
        ("./bin/fifo", "./bin/fifo is not a file"),
        ("absent-program", "no program absent-program along the daemon's PATH; ./absent-program would be one of the"),
        ("/absent/program", "/absent/program: No such file or directory"),
    ],
)
def test_what_is_no_program_of_the_release_or_the_machine_is_not_run(program: str, why: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "bin" / "plain").write_text("#!/bin/sh\n")
    (folder / "bin" / "out").symlink_to("/bin/sh")
    (folder / "above").symlink_to("/bin")
    (folder / "bin" / "circle").symlink_to("circle")
    os.mkfifo(folder / "bin" / "fifo", 0o755)
    error = failure(activator(tmp_path), command(program), job(folder))
    assert error.message.startswith(f"the command {program} can't be started: {why}")


def test_a_link_within_the_release_is_as_good_as_what_it_names(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="echo here")
    (folder / "run").symlink_to("bin/restart")
    assert activator(tmp_path).activate(command("./run"), job(folder)) == "here"


def test_a_script_whose_first_line_names_nothing_is_told_as_such(tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "bin" / "x").write_text("#!/absent/shell\n")
    (folder / "bin" / "x").chmod(0o755)
    error = failure(activator(tmp_path), command("./bin/x"), job(folder))
    assert error.message == "the command ./bin/x can't be started: No such file or directory"
    assert "#!" in error.hint


def test_variables_that_are_too_large_for_a_process_are_told_as_such(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="true")
    error = failure(activator(tmp_path), command("./bin/restart"), job(folder, {"A": "x" * 200_000}))
    assert error.message == "the command ./bin/restart can't be started: Argument list too long"


# --- how it ends ---------------------------------------------------------------------------------


def test_a_failure_is_told_with_the_last_lines_that_it_printed(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="seq 100; echo; echo '  no   port ' >&2; exit 3")
    error = failure(activator(tmp_path), command("./bin/restart"), job(folder))
    assert error.message == "the command ./bin/restart ended with 3: 99 / 100 / no port"


def test_a_failure_that_says_nothing_is_told_all_the_same(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="exit 1")
    assert failure(activator(tmp_path), command("./bin/restart"), job(folder)).message.endswith("ended with 1")


def test_a_signal_is_told_by_its_name(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="kill -SEGV $$")
    error = failure(activator(tmp_path), command("./bin/restart"), job(folder))
    assert error.message == "the command ./bin/restart was ended by SIGSEGV"


def test_at_its_deadline_it_is_ended_with_its_children(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="sleep 1000 & echo $! $$ > pids; echo waiting; wait")
    error = failure(activator(tmp_path), command("./bin/restart", within="1s"), job(folder))
    assert error.message == ("the command ./bin/restart did not end within 1s, and was stopped: waiting")
    assert all(ends(int(pid)) for pid in (folder / "pids").read_text().split())


def test_a_child_of_a_failed_command_is_not_left_running(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="sleep 1000 & echo $! > pid; exit 1")
    failure(activator(tmp_path), command("./bin/restart"), job(folder))
    assert ends(int((folder / "pid").read_text()))


def test_a_service_that_it_starts_stays_and_does_not_hold_up_its_end(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="./bin/serve & echo started", serve="read word < asked; echo $word > answered")
    for pipe in ("asked", "answered"):
        os.mkfifo(folder / pipe)
    assert activator(tmp_path).activate(command("./bin/restart"), job(folder)) == "started"
    # Without the service, neither would ever come to an end: open for both ways, and wait for no longer than a while.
    asked, answered = (os.open(folder / pipe, os.O_RDWR) for pipe in ("asked", "answered"))
    try:
        os.write(asked, b"hello\n")
        assert select.select([answered], [], [], 20)[0], "the service is gone"
        assert os.read(answered, 100) == b"hello\n"
    finally:
        os.close(asked)
        os.close(answered)


# --- what it prints ------------------------------------------------------------------------------


def test_output_is_bounded_and_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="echo first; yes | head -c 1000000; echo last")
    printed = activator(tmp_path, Bounds(output_bytes=1_000)).activate(command("./bin/restart"), job(folder))
    assert printed.startswith("first\n")
    assert printed.endswith("\nlast")
    assert len(printed) < 1_100


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path) -> None:
    folder = release(tmp_path, restart=r"printf '\033[31mred\033[0m\007 \302\233 \377 grün\n'; exit 1")
    error = failure(activator(tmp_path), command("./bin/restart"), job(folder))
    assert error.message.isprintable()
    assert "red" in error.message
    assert "grün" in error.message


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param('echo "url=$PASSWORD"', id="as it is"),
        pytest.param('printf %s "${PASSWORD%4711}"; sleep 0.1; printf %s 4711', id="in two writes"),
        pytest.param('printf %s "$PASSWORD" | base64', id="in base64"),
        pytest.param('printf "user:%s" "$PASSWORD" | base64', id="in the base64 of a longer text"),
        pytest.param('echo "${PASSWORD%/*}%2F${PASSWORD#*/}"', id="percent-encoded"),
        pytest.param('printf "\\033[1m%s\\033[0m\\n" "$PASSWORD"', id="in colour"),
        pytest.param('printf "%s\\033[1m%s\\n" "${PASSWORD%4711}" 4711', id="with colour in the middle"),
        pytest.param('yes "$PASSWORD" | tr "\\n" " " | head -c 5000', id="across the cut"),
    ],
)
def test_a_secret_that_it_prints_is_masked(script: str, code: int, tmp_path: Path) -> None:
    folder = release(tmp_path, restart=f"{script}; exit {code}")
    work = job(folder, {"PASSWORD": SECRET}, frozenset({SECRET}))
    for limit in (499, 500, 501, 16_384):
        told = activator(tmp_path, Bounds(output_bytes=limit))
        if code:
            shown = failure(told, command("./bin/restart"), work).message
        else:
            shown = told.activate(command("./bin/restart"), work)
        assert "***" in shown
        for part in ("4711", "canary", "czNjcmV0", "MzY3JldC1j"):
            assert part not in shown


def test_a_secret_in_the_arguments_is_masked_too(tmp_path: Path) -> None:
    folder = release(tmp_path, restart="exit 1")
    work = job(folder, {}, frozenset({SECRET}))
    error = failure(activator(tmp_path), command("./bin/restart", SECRET), work)
    assert error.message == "the command ./bin/restart *** ended with 1"
