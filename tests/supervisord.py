"""A real supervisord for one test, with programs of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.machine.clock import SystemClock

_DEFAULTS = {"startsecs": "0", "startretries": "1", "autostart": "false", "stopwaitsecs": "2"}


@dataclass(frozen=True)
class Supervisord:
    """One that runs."""

    folder: Path
    socket: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.socket}"

    def tell(self, *words: str) -> str:
        """What `supervisorctl` answers."""
        file = str(self.folder / "supervisord.conf")
        argv = (sys.executable, "-m", "supervisor.supervisorctl", "-c", file, *words)
        return subprocess.run(argv, capture_output=True, text=True).stdout


@contextmanager
def supervisord(
    folder: Path, programs: Mapping[str, Mapping[str, str]], server: str = "", groups: str = ""
) -> Iterator[Supervisord]:
    """Run one for as long as the block lasts.

    Args:
        folder: Where its files go.
        programs: Options by program; what is left out suits a test.
        server: Further options of its socket.
        groups: Further sections.
    """
    short = Path(tempfile.mkdtemp())  # a socket's path is at most 107 bytes
    sections = [
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/supervisord.log\npidfile={short}/pid\nchildlogdir={folder}\n",
        f"[unix_http_server]\nfile={short}/sock\n{server}",
        f"[supervisorctl]\nserverurl=unix://{short}/sock\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
        *(
            f"[program:{name}]\n" + "".join(f"{key}={value}\n" for key, value in {**_DEFAULTS, **options}.items())
            for name, options in programs.items()
        ),
        groups,
    ]
    file = folder / "supervisord.conf"
    file.write_text("\n".join(sections))
    running = Supervisord(folder, short / "sock")
    output = (folder / "supervisord.out").open("w")
    process = subprocess.Popen(
        (sys.executable, "-m", "supervisor.supervisord", "-c", file), stdout=output, stderr=subprocess.STDOUT
    )
    try:
        _wait_for(short / "sock", process, folder)
        yield running
    finally:
        _kill(process)
        output.close()
        shutil.rmtree(short)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and its programs, each of which leads a group: to ask it to stop takes seconds, and some don't stop."""
    process.send_signal(signal.SIGSTOP)  # else the list may leave some out while others end
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    programs = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait(20)
    for program in programs:
        with suppress(ProcessLookupError):
            os.killpg(int(program), signal.SIGKILL)


def _wait_for(socket: Path, process: subprocess.Popen[bytes], folder: Path) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    while not socket.exists():
        assert process.poll() is None, (folder / "supervisord.out").read_text()
        assert clock.monotonic() < deadline, "supervisord does not come up"
        threading.Event().wait(0.02)
