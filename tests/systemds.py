"""A real systemd for tests, or a stand-in for its `systemctl` where none can run.

The real one is a user manager in namespaces of its own, so root can start it on any machine that has the programs, also
in a container that may mount. The stand-in knows a few verbs, runs a unit's `start` as a shell's line, and keeps what
came of it in a folder: for machines without systemd, and for answers that the real one can't be made to give.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.machine.clock import SystemClock

_INSIDE = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && "$0" --user --log-level=warning --log-target=console
exit $?
"""
"""A user manager wants a machine that systemd has booted, which it takes a folder for, and not to be process 1."""
_PROGRAM = "/lib/systemd/systemd"
_STAND_IN = r"""#!/bin/sh
# Stands in for systemctl: see tests/systemds.py.
cd "$(dirname "$0")/units" || exit 1
echo "$*" >> ../calls
for word; do
  case $word in
    restart | reload-or-restart | reset-failed | show) verb=$word ;;
    *) unit=$word ;;
  esac
done
. ../before
if ! test -d "$unit"; then
  test $verb = show && { printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\n'; exit; }
  echo "Failed to $verb $unit: Unit $unit not found." >&2
  exit 5
fi
case $verb in
  show) echo LoadState=loaded; cat "$unit/state" ;;
  reset-failed) ;;
  *)
    sh "$unit/start"
    code=$?
    if test $code = 0; then
      printf 'ActiveState=active\nSubState=running\nResult=success\nExecMainStatus=0\n' > "$unit/state"
    else
      printf 'ActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=%s\n' $code > "$unit/state"
      echo "Job for $unit failed because the control process exited with error code." >&2
      exit 1
    fi ;;
esac
"""


@dataclass(frozen=True)
class Manager:
    """What `systemctl --user` talks to."""

    folder: Path
    real: bool

    def unit(self, name: str, start: str, *more: str) -> None:
        """Define a service.

        Args:
            name: With its ending.
            start: What a shell runs; `exec sleep 1000` for what goes on running.
            more: Further lines of its section, for the real one.
        """
        if self.real:
            file = self.folder / "config" / "systemd" / "user" / name
            file.with_suffix(".sh").write_text(start)
            lines = ["[Service]", f"ExecStart=/bin/sh {file.with_suffix('.sh')}", *more]
            file.write_text("\n".join(lines) + "\n")
            subprocess.run(("systemctl", "--user", "daemon-reload"), env=self.variables, check=True)
            return
        folder = self.folder / "units" / name
        folder.mkdir()
        (folder / "start").write_text(start.replace("exec sleep 1000", "true"))

    @property
    def variables(self) -> dict[str, str]:
        """What leads `systemctl` here."""
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(self.folder / "run")}


@contextmanager
def stand_in(folder: Path) -> Iterator[Manager]:
    """One that keeps its state below a folder."""
    (folder / "units").mkdir(parents=True)
    (folder / "before").write_text("")
    program = folder / "systemctl"
    program.write_text(_STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    yield Manager(folder, real=False)


@cache
def missing() -> str:
    """Why no real systemd can run here; empty: one can."""
    absent = [name for name in (_PROGRAM, "systemctl", "unshare", "nsenter") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    tried = subprocess.run(
        ("unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "x", "/run"), capture_output=True
    )
    return f"no mount namespace: {tried.stderr.decode().strip()}" if tried.returncode else ""


@contextmanager
def systemd() -> Iterator[Manager]:
    """A real one, in a folder of its own with a short name: its sockets are in it."""
    folder = Path(tempfile.mkdtemp())
    (folder / "config" / "systemd" / "user").mkdir(parents=True)
    (folder / "run").mkdir(mode=0o700)
    manager = Manager(folder, real=True)
    argv = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", _INSIDE, _PROGRAM)
    own = {**manager.variables, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, env=own, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _lead_in(manager, process)
            _wait_for(manager, process)
            yield manager
        finally:
            process.kill()
            process.wait(20)
            shutil.rmtree(folder)


def _lead_in(manager: Manager, process: subprocess.Popen[bytes]) -> None:
    """Put the real `systemctl` on the way, to be run inside: systemd answers nobody whose process it can't see."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (inside := children.read_text().split()):
        assert process.poll() is None, (manager.folder / "log").read_text()
    real = shutil.which("systemctl")
    program = manager.folder / "systemctl"
    program.write_text(f'#!/bin/sh\nexec nsenter --target {inside[0]} --pid --mount {real} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def _wait_for(manager: Manager, process: subprocess.Popen[bytes]) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    ask = ("systemctl", "--user", "is-active", "default.target")
    while subprocess.run(ask, env=manager.variables, capture_output=True).stdout.strip() != b"active":
        assert process.poll() is None, (manager.folder / "log").read_text()
        assert clock.monotonic() < deadline, f"systemd does not come up: {(manager.folder / 'log').read_text()}"
        threading.Event().wait(0.02)
