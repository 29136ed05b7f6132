"""The image: built by a real Docker engine from the committed Dockerfile, and run as compose.yaml says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging import debian
from tests.packaging.engine import Engine, Missing, engine, ready
from tests.site import Site, eventually

ROOT = Path(__file__).parents[2]
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["reconciler"]
BASE, IMAGE, UID = "debian-of-this-machine", "reconciler", 10001
_WHEELS = (("--require-hashes", "--no-deps", "-r", str(ROOT / "requirements.lock")), ("hatchling>=1.27,<2",))
_FLAGS = {
    "restart": "--restart", "pids_limit": "--pids-limit", "mem_limit": "--memory", "user": "--user",
    "cap_drop": "--cap-drop", "security_opt": "--security-opt", "tmpfs": "--tmpfs",
}  # fmt: skip
"""Keys of compose.yaml, as `docker run` says them."""
_ITS_OWN = re.compile(r"/(dev|proc|sys|tmp)(/|$)")
_SWITCHES = {"init": "--init", "read_only": "--read-only"}
_ELSEWHERE = {"image", "build", "command", "volumes", "healthcheck", "logging", "stop_grace_period"}


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has the image."""
    try:
        ready()
        with engine() as running:
            _build(running, tmp_path_factory.mktemp("image"))
            yield running
    except Missing as missing:
        pytest.skip(str(missing))


def _build(running: Engine, folder: Path) -> None:
    """What `docker build` is given: the files that git has, and the wheels that pip brings to this machine."""
    context = folder / "context"
    downloads = [_download(context / "wheels", *what) for what in _WHEELS]
    with (folder / "base.tar").open("wb") as stream:
        debian.write_base(stream)
    running.take(BASE, folder / "base.tar")
    for line in ("!Dockerfile", "!.dockerignore", *(ROOT / ".dockerignore").read_text().splitlines()):
        if line.startswith("!") and line != "!wheels":
            _copy(ROOT / line[1:], context / line[1:])
    for download in downloads:
        _, words = download.communicate(timeout=300)
        assert download.returncode == 0, words
    arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", "PIP_NO_INDEX=1", "--network", "host")
    running("build", *arguments, "--tag", IMAGE, ".", seconds=600, cwd=context)


def _download(place: Path, *what: str) -> subprocess.Popen[str]:
    """Goes on while the base image is made."""
    argv = (sys.executable, "-m", "pip", "download", "--quiet", "-d", str(place), "--only-binary", ":all:", *what)
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, place)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose paths are those inside of the container; its folders belong to who runs there."""
    site = Site(tmp_path / "site")
    for run in (1, 2):
        site.publish(run)
    return site


def declare(site: Site, run: int) -> None:
    """By a merge; git reads and writes a repository only for the one whom it belongs to."""
    origin = site.folder / "git" / "origin.git"
    _give(origin, os.geteuid())
    site.declare("prod", run, path="/srv/shop/prod")
    _give(origin, UID)


def _give(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def flags(volumes: Mapping[str, Path]) -> list[str]:
    """`docker run` as compose.yaml says it, but for what lies behind its bind mounts, and how often health is asked."""
    given = [flag for key, flag in _SWITCHES.items() if SERVICE[key]]
    for key, flag in _FLAGS.items():
        values = SERVICE[key] if isinstance(SERVICE[key], list) else [SERVICE[key]]
        given += [part for value in values for part in (flag, str(value))]
    for mount in SERVICE["volumes"]:
        source = volumes.get(mount["target"], mount["source"])
        read_only = ",readonly" if mount.get("read_only") else ""
        given += ["--mount", f"type={mount['type']},source={source},target={mount['target']}{read_only}"]
    return [*given, "--health-interval", "1s"]


def test_each_line_of_the_compose_file_is_tried_here() -> None:
    assert set(SERVICE) == {*_FLAGS, *_SWITCHES, *_ELSEWHERE}


@pytest.fixture
def container(docker: Engine, site: Site, tmp_path: Path) -> Iterator[str]:
    """The daemon, running on the site."""
    settings = {
        **site.settings,
        "repository": {"url": "/srv/git/origin.git", "poll_seconds": 0.5},
        "forge": {"type": "signed_merge", "allowed_signers": "allowed_signers"},
        "targets": {"directory": {"roots": ["/srv/shop"]}},
    }
    del settings["state"]
    settings["sources"]["ci"]["root"] = "/srv/ci/runs"  # type: ignore[index]
    place = tmp_path / "etc"
    place.mkdir()
    (place / "reconciler.yaml").write_text(yaml.safe_dump(settings))
    shutil.copyfile(site.git.allowed_signers, place / "allowed_signers")
    declare(site, 1)
    _give(site.live, UID)
    volumes = {"/etc/reconciler": place, "/srv/ci/runs": site.runs, "/srv/shop": site.live}
    git = ("--mount", f"type=bind,source={site.folder / 'git'},target=/srv/git,readonly")
    name = docker("run", "--detach", "--network", "none", *flags(volumes), *git, IMAGE, *SERVICE["command"])
    yield name
    docker("rm", "--force", name)
    docker("volume", "rm", "state")


def inspect(docker: Engine, container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return found


# One test: workers of pytest-xdist share no fixture, and a second one would build the image once more.
def test_the_image_brings_an_environment_live_without_root_and_stops_cleanly(
    docker: Engine, container: str, site: Site
) -> None:
    _holds_what_runs_and_not_what_built_it(docker)

    def log() -> str:
        done = docker.tried("logs", container)
        return done.stdout + done.stderr

    wait = ("reconciler", "wait", "prod", "--for", "Ready", "--timeout", "40s")
    assert docker.tried("exec", container, *wait).returncode == 0, log()
    assert site.current("prod") == 1
    assert (site.live / "prod" / "current").stat().st_uid == UID
    _is_confined(docker, container)

    eventually(lambda: inspect(docker, container)["State"]["Health"]["Status"] == "healthy", 40)
    declare(site, 2)
    eventually(lambda: site.current("prod") == 2, 40)
    eventually(lambda: "Synced" in docker("exec", container, "reconciler", "get", "prod"), 40)

    docker("stop", "--time", "30", container)
    state = inspect(docker, container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False), log()
    lines = [json.loads(line) for line in log().splitlines()]
    assert lines, "the log is empty"


def running(docker: Engine, container: str) -> bool:
    return bool(inspect(docker, container)["State"]["Running"])


def _is_confined(docker: Engine, container: str) -> None:
    """No root, no capability, no way to get one, and nothing to write but what was mounted for it."""
    pid = inspect(docker, container)["State"]["Pid"]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == [str(UID)] * 4
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert _writable(pid) == {"/var/lib/reconciler", "/srv/shop"}
    script = "for place in / /opt/reconciler /etc/reconciler /srv/ci/runs; do touch $place/x && echo $place; done"
    assert docker.tried("exec", container, "sh", "-c", script).stdout == ""


def _writable(pid: int) -> set[str]:
    """Where a process finds a file system that it could write to, beside what every container has of its own."""
    mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    return {place for _, place, _, options, *_ in mounts if "rw" in options.split(",") and not _ITS_OWN.match(place)}


def _holds_what_runs_and_not_what_built_it(docker: Engine) -> None:
    def inside(*argv: str) -> str:
        return docker("run", "--rm", "--network", "none", "--read-only", "--entrypoint", argv[0], IMAGE, *argv[1:])

    assert inside("reconciler", "version").startswith("reconciler ")
    assert inside("id", "-u") == str(UID)
    found = inside(
        "python",
        "-c",
        "import importlib.util as u; print([n for n in ('pip', 'hatchling', 'pytest') if u.find_spec(n)])",
    )
    assert found == "[]"
    owned = inside("find", "/opt/reconciler", "-user", str(UID), "-print", "-quit")
    assert owned == "", "the daemon could write its own program"
