"""A small web service, which the step `demo break` deploys: two runs of it, the second of which never becomes healthy.

It runs as a process of its own that the daemon's activation starts, listens on loopback, and ends with the demo.
"""

from __future__ import annotations

import os
import signal
import sys
import zipfile
from pathlib import Path
from threading import Event

from reconciler.demo.folder import DemoFolder
from reconciler.demo.ports import First, port
from reconciler.model import Artifact, EnvironmentName, RunId
from reconciler.ports import Clock

WEB = EnvironmentName("web")
ARTIFACT = "web"
GOOD, BROKEN = RunId(201), RunId(202)
END_SECONDS = 5.0
"""How long the system may take to remove an ended process."""

_STEP_SECONDS = 0.05
_MOMENT = (1980, 1, 1, 0, 0, 0)
_SERVER = '''\
"""A web service: says which run it is. This one is {state}."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"run {run}\\n"
        self.send_response({status})
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(HTTPServer):
    def service_actions(self):
        if not Path(__file__).exists():  # the demo was removed by hand
            sys.exit()


Server(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
'''
_RESTART = """\
#!/bin/sh
# Ends the service that runs, and starts this release's.
set -eu
. "$RECONCILER_ENVIRONMENT_FILE"
ours() { grep -qs server.py "/proc/$1/cmdline"; }
old=$(cat "$PID_FILE" 2>/dev/null || echo none)
if ours "$old"; then kill "$old"; while ours "$old"; do sleep 0.05; done; fi
setsid "$PYTHON" "$PWD/server.py" "$PORT" >>"$LOG_FILE" 2>&1 </dev/null &
echo $! >"$PID_FILE"
echo "started on port $PORT"
"""
_DECLARATION = """\
# yaml-language-server: $schema=./environment.schema.json
#
# A small web service: what starts it, what it is given, and what shows that it runs.
version: 1

artifact:
  name: {artifact}
  run_id: {run}
  sha256: {sha256}

approval:
  required: 1

target:
  type: directory
  path: {path}

activate:
  command: [./restart]    # in the folder of the release, right after the switch

config:                   # in a file that nobody else may read, beside the releases
  PORT: "{port}"
  PYTHON: {python}
  PID_FILE: {pid}
  LOG_FILE: {log}

health:
  http: http://127.0.0.1:{port}/
  within: 3s              # healthy by then, or the last good release is live again
  every: 1s
"""


def pack(run_id: RunId, archive: Path) -> None:
    """Build one run."""
    broken = run_id == BROKEN
    server = _SERVER.format(run=run_id, status=503 if broken else 200, state="broken" if broken else "good")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, text, mode in (("restart", _RESTART, 0o100755), ("server.py", server, 0o100644)):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.external_attr = mode << 16
            zipped.writestr(entry, text)


def declaration(folder: DemoFolder, artifact: Artifact, run_id: RunId) -> bytes:
    """The environment's file."""
    quoted = {
        name: "'" + str(path).replace("'", "''") + "'"
        for name, path in (
            ("path", folder.target(WEB)),
            ("python", sys.executable),
            ("pid", folder.service_pid),
            ("log", folder.service_log),
        )
    }
    return _DECLARATION.format(
        artifact=ARTIFACT, run=run_id, sha256=artifact.sha256, port=port(folder, First.SERVICE), **quoted
    ).encode()


def stop(folder: DemoFolder, clock: Clock) -> None:
    """End it, if it runs. Numbers of processes are used again: its command line must be one of this demo's."""
    expires = clock.monotonic() + END_SECONDS
    while (pid := _pid(folder)) is not None and clock.monotonic() < expires:
        os.kill(pid, signal.SIGKILL)
        Event().wait(_STEP_SECONDS)


def _pid(folder: DemoFolder) -> int | None:
    try:
        pid = int(folder.service_pid.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    ours = os.fsencode(folder.target(WEB)) + b"/"
    return pid if any(word.startswith(ours) for word in words) else None
