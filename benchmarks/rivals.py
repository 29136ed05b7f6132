"""Other tools at the same work, each made to do what `floor.sh` does. Used where installed, never required.

Each is timed from the call that starts its work, which is what the push would bring about, to its end: no poll interval
is in it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kit.sides import eventually

FLOOR = Path(__file__).with_name("floor.sh")
_WITHIN = 60.0

Ready = Callable[[Path, str, Path, str], AbstractContextManager[Callable[[], object]]]
"""Prepare: own folder, URL of the repository, folder of runs, declaration. Gives what brings the tip live, in
`live` below its own folder."""


@dataclass(frozen=True, slots=True)
class Rival:
    """One tool."""

    name: str
    ready: Ready
    files: Callable[[Path, Path, str], Mapping[str, str]] = lambda *_: {}
    """What it needs in the repository."""
    slow: bool = False
    """Whether one turn takes many seconds, so that two must do."""

    def is_there(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.name) is not None


@contextmanager
def webhook(folder: Path, url: str, runs: Path, file: str) -> Iterator[Callable[[], object]]:
    """adnanh/webhook runs the script when it is called, and answers when it ended."""
    mirror = _mirror(folder, url)
    hook = {
        "id": "deploy",
        "execute-command": "/bin/sh",
        "pass-arguments-to-command": [
            {"source": "string", "name": part} for part in (str(FLOOR), str(mirror), str(runs), file, f"{folder}/live")
        ],
        "include-command-output-in-response": True,
    }
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps([hook]))
    port = _free_port()
    argv = ["webhook", "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(port), _WITHIN, "webhook answers", 0.02)
        yield lambda: _post(f"http://127.0.0.1:{port}/hooks/deploy")
    finally:
        server.terminate()
        server.wait()


@contextmanager
def ansible_pull(folder: Path, url: str, runs: Path, file: str) -> Iterator[Callable[[], object]]:  # noqa: ARG001
    """ansible-pull checks the repository out and runs the playbook in it."""
    argv = ["ansible-pull", "-U", url, "-C", "main", "-d", f"{folder}/checkout", "-i", "localhost,"]
    argv += ["-e", f"ansible_python_interpreter={sys.executable}", _playbook(file)]
    yield lambda: _checked(argv, folder)


def ansible_files(folder: Path, runs: Path, file: str) -> Mapping[str, str]:
    """The playbook: the steps of the script as tasks."""
    live = folder / "live"
    text = f"""\
- hosts: all
  connection: local
  gather_facts: false
  vars:
    declared: "{{{{ lookup('file', '{folder}/checkout/{file}') | from_yaml }}}}"
    artifact: "{runs}/{{{{ declared.artifact.run_id }}}}/app.zip"
    release: "{{{{ declared.artifact.run_id }}}}-"
  tasks:
    - stat: {{path: "{{{{ artifact }}}}", checksum_algorithm: sha256}}
      register: found
    - assert: {{that: found.stat.checksum == declared.artifact.sha256}}
    - file: {{path: "{live}/releases/{{{{ release }}}}", state: directory}}
    - unarchive: {{src: "{{{{ artifact }}}}", dest: "{live}/releases/{{{{ release }}}}", remote_src: true}}
    - command: sync -f {live}/releases/{{{{ release }}}}
    - file: {{src: "releases/{{{{ release }}}}", dest: {live}/next, state: link, force: true, follow: false}}
    - command: mv -T {live}/next {live}/current
    - command: sync -f {live}
"""
    return {_playbook(file): text}


@contextmanager
def git_sync(folder: Path, url: str, runs: Path, file: str) -> Iterator[Callable[[], object]]:
    """git-sync fetches once and runs the script's later half as its hook; it is started anew for each turn."""
    mirror = _mirror(folder, url)
    hook = folder / "hook.sh"
    hook.write_text(f'#!/bin/sh\nexec sh "{FLOOR}" "{mirror}" "{runs}" "{file}" "{folder}/live"\n')
    hook.chmod(0o755)
    argv = ["git-sync", f"--repo={url}", "--ref=main", f"--root={folder}/root", "--link=current", "--one-time"]
    argv += [f"--exechook-command={hook}"]
    yield lambda: _checked(argv, folder)


def _checked(argv: list[str], folder: Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stdout[-1_000:]} {done.stderr[-1_000:]}")


def _playbook(file: str) -> str:
    return file.replace(".yaml", "-playbook.yaml")


def _mirror(folder: Path, url: str) -> Path:
    mirror = folder / "mirror"
    subprocess.run(["git", "clone", "-q", "--bare", url, str(mirror)], check=True)
    return mirror


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=_WITHIN) as answer:
        answer.read()


RIVALS = (
    Rival("webhook", webhook),
    Rival("git-sync", git_sync),
    Rival("ansible-pull", ansible_pull, ansible_files, slow=True),
)
