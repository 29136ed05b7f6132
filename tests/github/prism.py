"""Stoplight prism, as a proxy that judges every request and every answer by GitHub's own description."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tests.github import description, install

_START_SECONDS = 60
_LISTENING = re.compile(r"Prism is listening on (http://\S+)")


@dataclass(frozen=True)
class Verdict:
    """What prism says of one request and its answer."""

    method: str
    url: str
    status: int
    violations: tuple[str, ...]
    own: str
    """What prism answered in place of the server, if it did."""

    @classmethod
    def read(cls, said: dict[str, Any]) -> Verdict:
        """From a line of `judge.cjs`."""
        try:
            found = json.loads(said.get("violations") or "[]")
            told = tuple(f"{'.'.join(map(str, one['location']))}: {one['message']}" for one in found)
        except ValueError:  # prism cuts what is too long for a header
            told = (said["violations"],)
        return cls(said["method"], said["url"], said["status"], told, said.get("own") or "")

    def __str__(self) -> str:
        own = (f"prism answered in place of the server: {self.own}",) if self.own else ()
        return f"{self.method} {self.url} ({self.status}): " + "; ".join((*self.violations, *own))


class Prism:
    """One prism process between the tests and a hub.

    Args:
        upstream: The hub's address.
        folder: Where verdicts are written.
    """

    def __init__(self, upstream: str, folder: Path) -> None:
        install.ensure()
        self._verdicts = folder / "verdicts.jsonl"
        self._verdicts.touch()
        self._read = 0
        self._last: deque[str] = deque(maxlen=50)
        self._addresses: Queue[str] = Queue()
        command = [str(install.node()), "--require", str(install.FOLDER / "judge.cjs"), str(install.PRISM), "proxy"]
        options = ["--port", "0", "--host", "127.0.0.1", "--multiprocess=false", "--cors=false"]
        self.process = subprocess.Popen(
            [*command, *options, str(description.cut()), upstream],
            stdin=subprocess.PIPE,  # when we are gone, it closes, and prism ends by itself
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "NODE_ENV": "production",
                "FORCE_COLOR": "0",
                "PRISM_VERDICTS": str(self._verdicts),
            },
        )
        threading.Thread(target=self._drain, daemon=True).start()
        self.url = self._wait()

    def verdicts(self) -> list[Verdict]:
        """What was not flawless since this was asked last, in its order."""
        with self._verdicts.open() as file:
            file.seek(self._read)
            lines = file.read()
            self._read = file.tell()
        return [Verdict.read(json.loads(line)) for line in lines.splitlines()]

    def stop(self) -> None:
        """End it, for sure."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _drain(self) -> None:
        """Keep its last words, and hand over its address; nothing, when it ends without one."""
        assert self.process.stdout
        try:
            for line in self.process.stdout:
                self._last.append(line)
                if found := _LISTENING.search(line):
                    self._addresses.put(found[1])
        except ValueError:
            return  # closed by `stop`
        self._addresses.put("")

    def _wait(self) -> str:
        try:
            address = self._addresses.get(timeout=_START_SECONDS)
        except Empty:
            address = ""
        if not address:
            self.stop()
            raise AssertionError(f"prism did not start; it said:\n{''.join(self._last)}")
        return address
