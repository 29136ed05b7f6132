"""Programs of environments: deadlines, what they print, and what they leave behind."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.machine.clock import SystemClock
from reconciler.machine.programs import Ended, Output, run
from reconciler.ports import Clock

LONG = 60.0


def sh(folder: Path, script: str, clock: Clock | None = None, **options: object) -> Ended:
    chosen: dict[str, object] = {"seconds": LONG, "limit_bytes": 10_000, "grace": 5.0} | options
    variables = {"PATH": os.environ["PATH"], "HERE": "here"}
    return run(clock or SystemClock(), ["/bin/sh", "-c", script], folder, variables, **chosen)  # type: ignore[arg-type]


def soon(fact: Callable[[], bool]) -> None:
    """Wait until it is so; a test that hangs here has failed."""
    end = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pid_in(file: Path) -> int:
    soon(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_a_program_runs_in_its_folder_with_just_its_variables(tmp_path: Path) -> None:
    ended = sh(tmp_path, "pwd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; echo wrong >&2; exit 3")
    assert ended.code == 3
    assert not ended.timed_out
    lines = ended.output.text().splitlines()
    assert lines[0] == str(tmp_path)
    assert sorted(lines[1:3]) == ["HERE=here", f"PATH={os.environ['PATH']}"]
    assert lines[3:] == ["wrong"]


def test_it_has_nothing_to_read(tmp_path: Path) -> None:
    assert sh(tmp_path, "cat").code == 0


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        run(SystemClock(), ["./missing"], tmp_path, {}, 1, 100)
    assert caught.value.filename == "./missing"


def test_a_signal_that_ended_it_is_told(tmp_path: Path) -> None:
    assert sh(tmp_path, "kill -9 $$").code == -9


def test_at_the_deadline_it_may_end_by_itself(tmp_path: Path) -> None:
    # One process that sleeps and nothing else: where a shell runs its trap depends on what dies first.
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        "print('hello', flush=True)\ntime.sleep(60)"
    )
    line = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(script)}"
    # While we are busy with something else at its deadline, it says its last words and is gone.
    ended = sh(tmp_path, line, Busy(2.0), seconds=2.0, grace=30.0)
    assert (ended.code, ended.timed_out) == (None, True)
    assert ended.output.text() == "hello\nbye\n"


class Busy(SystemClock):
    """A clock that takes a second to tell the time, from a moment on."""

    def __init__(self, seconds: float) -> None:
        self._from = super().monotonic() + seconds

    def monotonic(self) -> float:
        now = super().monotonic()
        if now >= self._from:
            time.sleep(1)
        return now


def test_one_that_ignores_the_deadline_is_killed_with_its_children(tmp_path: Path) -> None:
    ended = sh(tmp_path, "trap '' TERM; sleep 600 & echo $! >child; while :; do sleep 1; done", seconds=0.3, grace=0.2)
    assert (ended.code, ended.timed_out) == (None, True)
    soon(lambda: not alive(pid_in(tmp_path / "child")))


def test_a_service_that_it_leaves_stays_and_holds_nobody_up_by_the_pipe(tmp_path: Path) -> None:
    ended = sh(tmp_path, "sleep 600 & echo $! >child; echo started", leaves=True)
    assert ended.code == 0
    assert ended.output.text() == "started\n"
    child = pid_in(tmp_path / "child")
    assert alive(child)
    os.kill(child, 9)


@pytest.mark.parametrize(("leaves", "code"), [(True, 1), (False, 0)])
def test_what_a_failed_program_or_a_check_leaves_is_killed(tmp_path: Path, leaves: bool, code: int) -> None:
    assert sh(tmp_path, f"sleep 600 & echo $! >child; exit {code}", leaves=leaves).code == code
    soon(lambda: not alive(pid_in(tmp_path / "child")))


def test_a_cancelled_one_ends_at_once_and_did_not_time_out(tmp_path: Path) -> None:
    cancelled = threading.Event()
    found: list[Ended] = []
    thread = threading.Thread(
        target=lambda: found.append(sh(tmp_path, "echo $$ >pid; exec sleep 600", cancelled=cancelled))
    )
    thread.start()
    pid_in(tmp_path / "pid")
    cancelled.set()
    thread.join(20)
    assert (found[0].code, found[0].timed_out) == (None, False)


def test_endless_output_ends_at_the_deadline_and_costs_no_memory(tmp_path: Path) -> None:
    ended = sh(tmp_path, "yes no", seconds=0.3, limit_bytes=1_000)
    assert ended.timed_out
    assert len(ended.output.head) == len(ended.output.tail) == 500
    assert ended.output.left_out > 100_000
    assert "bytes left out]" in ended.output.text()


def test_all_that_fits_is_kept_in_order(tmp_path: Path) -> None:
    ended = sh(tmp_path, "printf 0123456789", limit_bytes=10)
    assert ended.output.text() == "0123456789"
    assert sh(tmp_path, "printf 0123456789", limit_bytes=8).output.text() == "0123\n[2 bytes left out]\n6789"


def test_much_output_of_a_quick_program_is_read_to_its_end(tmp_path: Path) -> None:
    ended = sh(tmp_path, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo last")
    assert ended.output.text().endswith("last\n")


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        pytest.param(Output(b"a hunter2 b"), "a *** b", id="as it is"),
        pytest.param(Output(b"a hun\x1b[31mter2 b"), "a *** b", id="behind a colour"),
        pytest.param(Output(b"a hunt", b"er2 b"), "a *** b", id="on both sides of the middle"),
        pytest.param(Output(b"a hunt", b"er2 b", 9), "a ***\n[9 bytes left out]\n*** b", id="parted by the cut"),
        pytest.param(Output(b"a", b"b hunt", 9), "a\n[9 bytes left out]\nb hunt", id="only its beginning, by chance"),
        pytest.param(Output(b"a hunt", broken_off=True), "a ***", id="broken off in the middle of it"),
        pytest.param(Output(b"a", b"b hunt", 9, True), "a\n[9 bytes left out]\nb ***", id="broken off behind the cut"),
        pytest.param(Output(b"x two\nlines y"), "x *** y", id="of more than one line"),
    ],
)
def test_a_secret_is_masked(output: Output, shown: str) -> None:
    assert output.text(["hunter2", "two\nlines", ""]) == shown


def test_a_longer_secret_is_masked_before_one_that_is_a_part_of_it() -> None:
    assert Output(b"hunter22").text(["hunter2", "hunter22"]) == "***"


def test_what_a_terminal_would_act_on_is_taken_out() -> None:
    raw = b"\x1b[2J\x1b]0;title\x07red\x1b[0m\r\nnext\x07 \xff \xe2\x80\xae"
    assert Output(raw).text() == "red\nnext\ufffd \ufffd \ufffd"


def test_the_raw_output_is_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Ended(0, Output(b"hunter2", b"hunter2")))


def test_it_works_without_pidfd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert sh(tmp_path, "sleep 0.1; echo done").output.text() == "done\n"
