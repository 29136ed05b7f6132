"""A small HTTP service as an artifact: it says which run it is, and what it was given; and is broken at will.

Its folder `MOOD` says how it is: `break-2` makes run 2 answer 503, `crash-2` ends it right after its start, and
`activation` is a piece of shell that goes wrong when it is activated.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.archives import zip_of

SERVICE = """
import hashlib, json, os, socket
mood, run = os.environ["MOOD"], int(open("version").read())
if os.path.exists(f"{mood}/crash-{run}"):
    raise SystemExit(3)
secrets = [name for name in os.environ if name.startswith("SECRET_")]
told = {name: hashlib.sha256(os.environ[name].encode()).hexdigest() for name in secrets}
facts = {"run": run, "pid": os.getpid(), "greeting": os.environ.get("GREETING", ""), "secrets": told}
body = json.dumps(facts).encode()
with open(f"{mood}/service.pid", "w") as file:
    file.write(str(os.getpid()))
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=128)
while True:
    connection, _ = server.accept()
    connection.settimeout(5)
    try:
        connection.recv(65536)
        status = "503 Broken" if os.path.exists(f"{mood}/break-{run}") else "200 OK"
        connection.sendall(f"HTTP/1.1 {status}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
    except OSError:
        pass
    connection.close()
"""

RESTART = f"""#!/bin/sh
set -a
. "$RECONCILER_ENVIRONMENT_FILE"
echo "$RECONCILER_RELEASE" >>"$MOOD/starts"
[ -f "$MOOD/activation" ] && . "$MOOD/activation"
old=$(cat "$MOOD/service.pid" 2>/dev/null)
if grep -qs service.py "/proc/$old/cmdline"; then
  kill -9 "$old"
  while grep -qs service.py "/proc/$old/cmdline"; do sleep 0.01; done
fi
setsid {shlex.quote(sys.executable)} -I -S service.py >>"$MOOD/service.log" 2>&1 </dev/null &
echo started "$GREETING" "$SECRET_A"
"""


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    good: bool
    run: int
    pid: int
    greeting: str
    secrets: Mapping[str, str]
    """SHA-256 by name."""


def artifact(run: int) -> bytes:
    """What CI builds in a run: the service, and what restarts it."""
    files = {"service.py": SERVICE.encode(), "restart": RESTART.encode(), "version": b"%d" % run, "lib/a": b"a"}
    return zip_of(files, {"restart": 0o755})


def ask(port: int) -> Answer | None:
    """What the service at a port says; None: nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: yard\r\n\r\n")
            with connection.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
            return Answer(good=b" 200 " in head.split(b"\r\n")[0], **json.loads(body))
    except (OSError, ValueError):
        return None


def end(mood: Path) -> None:
    """Kill the service that was started last, if it still runs."""
    with suppress(OSError, ValueError):
        number = int((mood / "service.pid").read_text())
        if b"service.py" in Path(f"/proc/{number}/cmdline").read_bytes():
            os.kill(number, signal.SIGKILL)
