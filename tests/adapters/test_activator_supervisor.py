"""Activation under a real supervisord; and answers that a real one does not give."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, dumps

import pytest
from pydantic import ValidationError

from reconciler.activators.supervisor import create
from reconciler.activators.xmlrpc import Server
from reconciler.bounds import Bounds
from reconciler.core.running import ActivateSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName
from reconciler.ports import Activator
from tests.jobs import PROD, SECRET, ends, failure, job, parts
from tests.supervisord import Supervisord, supervisord

ALLOW = [{"programs": ["*"], "environments": ["*"]}]
SLEEP = "/bin/sleep 1000"


def program(name: str, within: str = "20s") -> ActivateSpec:
    return ActivateSpec.model_validate({"supervisor": name, "within": within})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    folder = tmp_path_factory.mktemp("supervisord")
    scripts = {
        "noisy": rf"printf '\033[31mboom\033[0m \001 grün key=%s\n' {SECRET} >&2; exit 3",
        "foreign": "printf %s aüüü值值x >&2; exit 3",
        "talks": "echo first; echo last; exit 3",
        "stubborn": f"trap '' TERM; touch {folder}/deaf; while :; do sleep 0.1; done",
        "mended": f"test -e {folder}/next || echo the first release broke on {SECRET}-old >&2; exit 1",
    }
    for name, script in scripts.items():
        (folder / name).write_text(script)
    programs = {
        "shop": {"command": SLEEP},
        "slow": {"command": SLEEP, "startsecs": "1"},
        "absent": {"command": "/absent/program"},
        "web": {"command": SLEEP, "process_name": "%(program_name)s-%(process_num)d", "numprocs": "2"},
        **{
            name: {"command": f"/bin/sh {folder}/{name}", "startsecs": "1"}
            for name in ("noisy", "talks", "mended", "foreign")
        },
        "stubborn": {"command": f"/bin/sh {folder}/stubborn", "stopwaitsecs": "1000"},
    }
    with supervisord(folder, programs) as found:
        yield found


def pid_of(running: Supervisord, name: str) -> int:
    return int(running.tell("pid", name))


@pytest.fixture
def activator(running: Supervisord, tmp_path: Path) -> Activator:
    return create({"url": running.url, "allow": ALLOW}, parts(tmp_path))


def test_a_program_is_stopped_and_started_again(running: Supervisord, activator: Activator, tmp_path: Path) -> None:
    assert activator.activate(program("shop"), job(tmp_path)).startswith("shop is RUNNING")
    before = pid_of(running, "shop")
    assert activator.activate(program("shop"), job(tmp_path)).startswith("shop is RUNNING")
    assert pid_of(running, "shop") != before
    assert ends(before)
    assert activator.trouble(PROD, program("shop")) == ""


def test_one_that_supervisord_starts_again_meanwhile_is_stopped_all_the_same(
    running: Supervisord, activator: Activator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended when we looked first, so there was nothing to stop."""
    activator.activate(program("shop"), job(tmp_path))
    before, looked = pid_of(running, "shop"), Server.call

    def look(server: Server, method: str, *arguments: Any, seconds: float) -> Any:
        answer = looked(server, method, *arguments, seconds=seconds)
        if method != "supervisor.stopProcess":
            return answer
        monkeypatch.setattr(Server, "call", looked)
        running.tell("start", "shop")
        return answer

    monkeypatch.setattr(Server, "call", look)
    activator.activate(program("shop", "5s"), job(tmp_path))
    assert ends(before)
    assert "RUNNING" in running.tell("status", "shop")


def test_a_program_counts_as_running_only_after_its_startsecs(
    running: Supervisord, activator: Activator, tmp_path: Path
) -> None:
    activator.activate(program("slow"), job(tmp_path))
    assert "RUNNING" in running.tell("status", "slow")


def test_every_process_of_a_group_is_restarted(running: Supervisord, activator: Activator, tmp_path: Path) -> None:
    activator.activate(program("web:*"), job(tmp_path))
    before = {pid_of(running, f"web:web-{number}") for number in (0, 1)}
    assert activator.activate(program("web:*"), job(tmp_path)).count("is RUNNING") == 2
    assert not before & {pid_of(running, f"web:web-{number}") for number in (0, 1)}
    first = pid_of(running, "web:web-0")
    activator.activate(program("web:web-1"), job(tmp_path))
    assert pid_of(running, "web:web-0") == first
    running.tell("stop", "web:web-1")
    assert activator.trouble(PROD, program("web:*")) == "web:web-1 is STOPPED"


def test_a_program_that_ends_too_soon_is_told_with_what_it_said(activator: Activator, tmp_path: Path) -> None:
    error = failure(activator, program("noisy"), job(tmp_path, {}, frozenset({SECRET})))
    assert error.message == "noisy is BACKOFF: Exited too quickly (process log may have details): boom ? grün key=***"
    assert error.hint == "see supervisorctl tail noisy:noisy stderr"
    assert "noisy is" in activator.trouble(PROD, program("noisy"))


@pytest.mark.parametrize("limit", [7, 8, 9, 10])
def test_a_log_that_is_cut_in_the_middle_of_a_character_is_told_from_the_next_one(
    limit: int, running: Supervisord, tmp_path: Path
) -> None:
    """A supervisord can't answer with half a character, nor with what is no UTF-8."""
    short = create({"url": running.url, "allow": ALLOW}, parts(tmp_path, Bounds(output_bytes=limit)))
    assert failure(short, program("foreign"), job(tmp_path)).message.endswith("值值x")


def test_one_that_says_nothing_on_stderr_is_told_with_its_stdout(activator: Activator, tmp_path: Path) -> None:
    error = failure(activator, program("talks"), job(tmp_path))
    assert error.message.endswith("first / last")


def test_what_an_earlier_release_printed_is_not_shown_again(
    running: Supervisord, activator: Activator, tmp_path: Path
) -> None:
    """Its secrets may have been others, and nobody masks those any more."""
    with_old = job(tmp_path, {}, frozenset({f"{SECRET}-old"}))
    assert "the first release broke on ***" in failure(activator, program("mended"), with_old).message
    (running.folder / "next").touch()
    rotated = job(tmp_path, {}, frozenset({"another"}))
    error = failure(activator, program("mended"), rotated)
    assert "the first release" not in error.message
    assert SECRET not in error.message


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent", "supervisord says NO_FILE: can't find command '/absent/program'"),
        ("unknown", "supervisord says BAD_NAME: unknown"),
        ("unknown:*", "supervisord says BAD_NAME: unknown:*"),
    ],
)
def test_what_supervisord_refuses_is_told_in_its_words(
    name: str, why: str, activator: Activator, tmp_path: Path
) -> None:
    assert failure(activator, program(name), job(tmp_path)).message == f"the supervisor program {name}: {why}"
    if name != "absent":
        assert activator.trouble(PROD, program(name)) == why


def test_a_program_that_does_not_stop_is_not_waited_for_beyond_the_deadline(
    running: Supervisord, activator: Activator, tmp_path: Path
) -> None:
    activator.activate(program("stubborn"), job(tmp_path))
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    while not (running.folder / "deaf").exists():
        assert clock.monotonic() < deadline
        threading.Event().wait(0.01)
    error = failure(activator, program("stubborn", within="1s"), job(tmp_path))
    assert error.message.startswith("the supervisor program stubborn was not restarted within 1s: stubborn is ")


def test_a_password_is_read_anew_for_each_call_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    options = {"username": "deploy", "password_file": str(file), "allow": ALLOW}
    with supervisord(tmp_path, {"shop": {"command": SLEEP}}, f"username=deploy\npassword={SECRET}\n") as locked:
        activator = create({"url": locked.url, **options}, parts(tmp_path))
        assert "the password of supervisord can't be read" in failure(activator, program("shop"), job(tmp_path)).message
        file.write_text("wrong-one\n")
        error = failure(activator, program("shop"), job(tmp_path))
        assert error.message == "supervisord can't be asked: the answer is 401 Unauthorized"
        assert "username and password" in error.hint
        file.write_text(SECRET + "\n")
        assert activator.activate(program("shop"), job(tmp_path)).startswith("shop is RUNNING")
        assert SECRET not in repr(vars(activator))


# --- answers that a real one does not give -----------------------------------------------------

Answer = Callable[[socket.socket, bytes], None]
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n"


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection, connection.recv(65_536))
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def dribbles(connection: socket.socket, asked: bytes) -> None:
    connection.settimeout(0.05)
    while True:
        connection.sendall(b"H")
        try:
            if connection.recv(1) == b"":
                return
        except TimeoutError:
            continue


def endless(connection: socket.socket, asked: bytes) -> None:
    connection.sendall(HEAD)
    for _ in range(100):
        connection.sendall(b" " * 65_536)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><methodResponse/>'
INFO = b"<methodResponse><params><param><value><int>5</int></value></param></params></methodResponse>"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(dribbles, "did not answer within 1 s", id="a byte now and then"),
        pytest.param(endless, "answers with more than 1048576 bytes", id="without end"),
        pytest.param(lambda c, _: c.sendall(HEAD + ENTITIES), "a document type", id="entities"),
        pytest.param(lambda c, _: c.sendall(HEAD + b"<html>"), "no XML-RPC", id="a web page"),
        pytest.param(lambda c, _: c.sendall(HEAD + INFO), "not what supervisord says of a process", id="a number"),
        pytest.param(lambda c, _: c.sendall(b"SSH-2.0-x\r\n"), "no HTTP", id="another protocol"),
        pytest.param(lambda c, _: None, "no HTTP", id="nothing"),
        pytest.param(
            lambda c, _: c.sendall(b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
            "the answer is 302 Found",
            id="a redirect",
        ),
    ],
)
def test_an_answer_that_can_not_be_used_is_told_within_the_deadline(answer: Answer, why: str, tmp_path: Path) -> None:
    clock = SystemClock()
    with answering(answer) as url:
        activator = create({"url": url, "allow": ALLOW}, parts(tmp_path))
        began = clock.monotonic()
        error = failure(activator, program("shop", within="1s"), job(tmp_path))
        assert clock.monotonic() - began < 10  # and not for as long as the server goes on
    assert error.message.startswith("supervisord can't be asked: ")
    assert why in error.message


def test_a_program_that_has_ended_before_its_start_is_answered_is_told_by_its_state(tmp_path: Path) -> None:
    """It is a matter of luck with a real one, which says SPAWN_ERROR then."""
    started = threading.Event()

    def answer(connection: socket.socket, request: bytes) -> None:
        method = request.partition(b"<methodName>supervisor.")[2].partition(b"<")[0].decode()
        info = {"group": "shop", "name": "shop", "state": 30 if started.is_set() else 0, "description": "too quick"}
        known: dict[str, Any] = {"getProcessInfo": info, "startProcess": Fault(50, "SPAWN_ERROR: shop")}
        if method == "startProcess":
            started.set()
        value = known.get(method, ["", 0, False])
        body = dumps(value) if isinstance(value, Fault) else dumps((value,), methodresponse=True)
        connection.sendall(HEAD + body.encode())

    with answering(answer) as url:
        activator = create({"url": url, "allow": ALLOW}, parts(tmp_path))
        assert failure(activator, program("shop"), job(tmp_path)).message == "shop is BACKOFF: too quick"


def test_a_supervisord_that_is_not_there_is_no_trouble_of_the_program(tmp_path: Path) -> None:
    activator = create({"url": f"unix://{tmp_path}/sock", "allow": ALLOW}, parts(tmp_path))
    assert activator.trouble(PROD, program("shop")) == ""
    error = failure(activator, program("shop"), job(tmp_path))
    assert error.message.endswith("/sock: No such file or directory")


# --- what the operator allows ------------------------------------------------------------------


def test_only_named_programs_are_allowed_and_only_to_their_environments(tmp_path: Path) -> None:
    made = create({"allow": [{"programs": ["shop", "web:*"], "environments": ["shop/*"]}]}, parts(tmp_path))
    made.allow(PROD, program("shop"))
    made.allow(PROD, program("web:web-1"))
    for environment, name in (("shop/prod", "other"), ("shop/prod", "shop:*"), ("dev", "shop")):
        with pytest.raises(PolicyDenied) as refused:
            made.allow(EnvironmentName(environment), program(name))
        assert refused.value.reason is Reason.ACTIVATION_NOT_ALLOWED
        assert f'activators.supervisor.allow: {{"programs": ["{name}"]' in refused.value.hint


def test_nothing_is_allowed_by_default(tmp_path: Path) -> None:
    with pytest.raises(PolicyDenied):
        create({}, parts(tmp_path)).activate(program("shop"), job(tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://supervisor.internal:9001"},
        {"url": "http://127.0.0.1:9001/elsewhere"},
        {"url": "http://user:word@127.0.0.1:9001"},
        {"url": "https://127.0.0.1:9001"},
        {"url": "unix://relative"},
        {"url": "/run/supervisor.sock"},
        {"username": "deploy"},
        {"password_env": "WORD"},
        {"username": "a:b", "password_env": "WORD"},
        {"unknown": 1},
    ],
    ids="-".join,
)
def test_settings_that_can_not_be_meant_are_refused(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        create(options, parts(tmp_path))
