"""The systemd unit: read by systemd's own checker, rated by it, and really run."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.site import Site, eventually
from tests.systemds import Manager, missing, systemd

UNIT = Path(__file__).parents[2] / "packaging" / "reconciler.service"
EXPOSED = 15
"""Tenths of systemd's exposure level, of 100, that the unit may come to; an unhardened one has 96."""
_NOT_FOR_A_USER = re.compile(r"^(User|Group|PrivateUsers|ProtectHome)=.*\n", re.MULTILINE)
"""What a systemd that is not the machine's first process has no right to, or that hides this project's Python."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed; type: apt-get install systemd")
    return subprocess.run((program, *arguments), capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_rates_the_unit_as_well_confined() -> None:
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSED}", str(UNIT))
    assert done.returncode == 0, done.stdout


@contextmanager
def installed(site: Site) -> Iterator[Manager]:
    """The unit as an operator puts it on a machine: with settings, and a drop-in that names what may be written."""
    with systemd() as manager:
        units = manager.folder / "config" / "systemd" / "user"
        start = f"ExecStart={sys.executable} -m reconciler run"
        unit = _NOT_FOR_A_USER.sub("", UNIT.read_text())
        (units / UNIT.name).write_text(re.sub(r"(?m)^ExecStart=.*$", start, unit))
        drop_in = units / f"{UNIT.name}.d" / "here.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(f"[Service]\nBindReadOnlyPaths={UNIT.parents[1]} {site.folder}\nBindPaths={site.live}\n")
        settings = {key: value for key, value in site.settings.items() if key != "state"}
        settings["sources"]["ci"]["root"] = str(site.runs)  # type: ignore[index]
        place = manager.folder / "config" / "reconciler"
        place.mkdir()
        (place / "reconciler.yaml").write_text(
            yaml.safe_dump({**settings, "targets": {"directory": {"roots": [str(site.live)]}}})
        )
        yield manager


def control(manager: Manager, *arguments: str) -> str:
    argv = ("systemctl", "--user", *arguments)
    done = subprocess.run(argv, env=manager.variables, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr + (manager.folder / "log").read_text()[-3000:]
    return done.stdout.strip()


@pytest.mark.skipif(missing() != "", reason=missing())
def test_the_daemon_does_its_work_as_the_unit_confines_it_and_stops_cleanly(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish(1)
    site.declare("prod", 1)
    with installed(site) as manager:
        control(manager, "daemon-reload")
        control(manager, "start", UNIT.name)
        eventually(lambda: site.current("prod") == 1, 40)
        pid = control(manager, "show", UNIT.name, "--property=MainPID", "--value")
        inside = Path(f"/proc/{_outside(manager, pid)}/status").read_text()
        status = dict(line.split(":\t", 1) for line in inside.splitlines() if ":\t" in line)
        assert (int(status["CapBnd"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, "1", "2")
        control(manager, "stop", UNIT.name)
        assert control(manager, "show", UNIT.name, "--property=Result", "--value") == "success"
        assert "Traceback" not in (manager.folder / "log").read_text()


def _outside(manager: Manager, pid: str) -> str:
    """The number that a process of the manager's namespace has here."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            same = re.search(rf"^NSpid:\t\d+\t{pid}$", status.read_text(), re.MULTILINE)
            if same and b"reconciler\0run" in (status.parent / "cmdline").read_bytes():
                return status.parent.name
    raise AssertionError(f"{pid} does not run: {(manager.folder / 'log').read_text()[-3000:]}")
