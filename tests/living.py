"""A yard of real HTTP services that the real daemon deploys, activates, asks for their health, and mends.

    with yard(tmp_path) as yard:
        shop = yard.service("shop")
        shop.declare(1)
        shop.answers(1)
        shop.breaks(2)
        shop.declare(2)          # comes up, answers 503, and is rolled back
        shop.answers(1)

Every service has a port and a mood of its own: files that say which of its runs is broken, and what goes wrong when it
is activated. One daemon looks after all of them; it may be killed and started again.
"""

from __future__ import annotations

import hashlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pyrage  # type: ignore[import-untyped]
import pytest
import yaml

from reconciler import wiring
from reconciler.core.audit import line, trailer, verify
from reconciler.errors import Reason
from reconciler.model import Attempt, Outcome, Status
from reconciler.settings import load
from reconciler.stores.sql import SqlStore
from tests.cliworld import cli
from tests.httpservice import Answer, artifact, ask, end
from tests.ports import lasting_port
from tests.site import Site, environment, eventually
from tests.supervisord import Supervisord, supervisord

LIMIT = 60.0
"""Seconds that anything may take on a machine that is busy with much else."""
VARIABLE = "SECRET_OF_THE_YARD"
SECRETS = {
    "SECRET_A": "env canary-1 p@ss\"w'rd $HOME `id` \\n %41;&|<>",
    "SECRET_B": "file canary-2 first line ✓\n  second canary-2 line = +/?#&\n\ttail of canary-2",
    "SECRET_C": 'age canary-3 ümläut 值 {}[]!~^ \\\\ " end',
}
"""Values by name: read out of the daemon's environment, a file, and age."""


class Service:
    """One environment, and what runs in it."""

    def __init__(self, yard: Yard, name: str, port: int) -> None:
        self.yard = yard
        self.name = name
        self.port = port
        self.mood = yard.folder / "moods" / name
        self.mood.mkdir(parents=True)
        self.place = yard.live / name
        self.extra: dict[str, object] = {
            "activate": {"command": ["./restart"], "within": "50s"},
            "config": {"PORT": str(port), "MOOD": str(self.mood), "GREETING": "hello"},
            "secrets": yard.references(name),
            "health": {"http": f"http://127.0.0.1:{port}/", "within": "50s", "every": "1s", "timeout": "5s"},
        }

    # --- what people do ---------------------------------------------------------------------------

    def file(self, run: int, *, within: str = "", **extra: object) -> dict[str, str]:
        """Its environment file; what is given replaces what stands there by default."""
        document = yaml.safe_load(self.yard.declaration(self.name, run))
        document |= {**self.extra, **extra}
        if within:
            document["health"] = {**document["health"], "within": within}
        return {f"environments/{self.name}.yaml": yaml.safe_dump(document, sort_keys=False)}

    def declare(self, run: int, *, within: str = "", **extra: object) -> None:
        """Let it in through a merge."""
        self.yard.merge(self.file(run, within=within, **extra))

    def config(self, **changes: str) -> dict[str, str]:
        """The config with something changed."""
        found = self.extra["config"]
        assert isinstance(found, dict)
        return {**found, **changes}

    def breaks(self, *runs: int) -> None:
        """From now on these answer 503."""
        for run in runs:
            (self.mood / f"break-{run}").touch()

    def mends(self, *runs: int) -> None:
        """From now on these answer well."""
        for run in runs:
            (self.mood / f"break-{run}").unlink()

    def crashes(self, run: int) -> None:
        """This one ends right after its start."""
        (self.mood / f"crash-{run}").touch()

    def on_activation(self, script: str) -> None:
        """Have the activation command do this before anything else."""
        (self.mood / "activation.new").write_text(script + "\n")
        (self.mood / "activation.new").replace(self.mood / "activation")

    # --- what it says, and what is remembered of it -----------------------------------------------

    def ask(self) -> Answer | None:
        """What it says now; None: nobody does."""
        return ask(self.port)

    def answers(self, run: int, **facts: object) -> Answer:
        """Wait until this run answers well, and with these facts."""
        found: list[Answer] = []

        def does() -> bool:
            answer = self.ask()
            found[:] = [answer] if answer else []
            good = answer is not None and answer.good and answer.run == run
            return good and all(getattr(answer, name) == value for name, value in facts.items())

        self.until(does, f"run {run} with {facts}", found)
        return found[0]

    def status(self) -> Status | None:
        """Where it stands; None before its first pass."""
        return self.yard.memory.statuses().get(environment(self.name))

    def drift(self) -> list[str]:
        """The paths that are not as they were put there, as far as that was found out."""
        status = self.status()
        return [drift.path for drift in status.drift] if status else []

    def stands(self, reason: Reason | None, run: int | None = None, *, health: str = "") -> Status:
        """Wait until it stands like this: with a reason, or with none and ready."""
        seen: list[Status] = []

        def does() -> bool:
            status = self.status()
            seen[:] = [status] if status else []
            if status is None or status.reason is not reason or (health and status.health != health):
                return False
            live = status.live.run_id if status.live else None
            return (reason is not None or bool(health) or status.ready) and run in (None, live)

        self.until(does, f"{reason or 'ready'} with run {run}", seen)
        return seen[0]

    def until(self, condition: Callable[[], object], what: str, seen: Sequence[object] = ()) -> None:
        """Wait for something, and tell all that helps where it does not come about."""

        def holds() -> bool:
            found = bool(condition())
            if not found:
                time.sleep(0.03)  # most conditions cost a query
            return found

        try:
            eventually(holds, LIMIT)
        except AssertionError:
            status = self.status()
            told = [f"{one.action} {one.outcome} {one.message}" for one in self.attempts()]
            words = [f"no {what}; found {seen}", f"{status and status.message}", *told]
            words += [one for one in (self.yard.folder / "daemon.log").read_text().splitlines() if self.name in one]
            log = self.mood / "service.log"
            words.append(f"it said: {log.read_text()[-2000:] if log.exists() else 'nothing'}")
            raise AssertionError("\n".join([self.name, *words])) from None

    def attempts(self) -> list[Attempt]:
        """All attempts, oldest first."""
        return list(reversed(self.yard.memory.attempts(environment(self.name))))

    def story(self) -> list[str]:
        """All attempts in words, oldest first: `deploy 2 failed`; what no gate let begin is left out."""
        return [
            f"{one.action.value} {one.declared.run_id} {one.outcome.value if one.outcome else 'goes on'}"
            for one in self.attempts()
            if one.outcome is not Outcome.REFUSED
        ]

    def tells(self, *story: str) -> None:
        """Wait until its story is just this."""
        self.until(lambda: self.story() == list(story), " → ".join(story))

    def starts(self) -> list[int]:
        """The runs that the activation command was started for."""
        file = self.mood / "starts"
        return [int(one.split("-")[0]) for one in file.read_text().split()] if file.exists() else []

    def switch(self) -> tuple[str, int]:
        """The link to what is live, and when it was put there: another one after each switch."""
        link = self.place / "current"
        return str(link.readlink()), link.lstat().st_ctime_ns

    @contextmanager
    def polled(self) -> Iterator[list[str]]:
        """Ask the port all the while; gives every change of what it says: `1`, `2 broken`."""
        seen: list[str] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.01):
                answer = self.ask()
                if answer is None:
                    continue  # between two processes
                told = f"{answer.run}" if answer.good else f"{answer.run} broken"
                if seen[-1:] != [told]:
                    seen.append(told)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()


class Yard(Site):
    """Services, a supervisord if asked for, and one daemon."""

    def __init__(self, folder: Path, log: IO[bytes]) -> None:
        super().__init__(folder)
        self.services: list[Service] = []
        self.values = dict(SECRETS)
        self.secret_file = folder / "secret"
        self.rotate(self.values["SECRET_B"])
        self._identity = pyrage.x25519.Identity.generate()
        (folder / "age.key").touch(mode=0o600)
        (folder / "age.key").write_text(f"{self._identity}\n")
        self._log = log
        self._daemon: subprocess.Popen[bytes] | None = None
        self._memory: SqlStore | None = None
        self.looks_at = lasting_port()
        self.configure(
            repository={"url": str(self.git.origin), "poll_seconds": 0.2},
            activators={"command": {"allow": [{"argv": ["./restart"], "environments": ["*"], "process": True}]}},
            probes={"http": {"allow": [{"hosts": ["127.0.0.1:*"], "environments": ["*"]}]}},
            secrets={
                "allow": [
                    {
                        "environments": ["*"],
                        "env": [VARIABLE],
                        "files": [str(folder)],
                        "identities": [str(folder / "age.key")],
                    }
                ]
            },
            web={"listen": f"127.0.0.1:{self.looks_at}"},
            drift_seconds=2,
        )

    @staticmethod
    def artifact(run: int) -> bytes:
        """The service, and what restarts it."""
        return artifact(run)

    def references(self, name: str) -> dict[str, object]:
        """Where the secrets are, as an environment file says."""
        encrypted = pyrage.encrypt(self.values["SECRET_C"].encode(), [self._identity.to_public()], armored=True)
        places = {"env": VARIABLE}, {"file": str(self.secret_file)}, {"age": encrypted.decode()}
        return dict(zip(SECRETS, places, strict=True))

    def rotate(self, value: str) -> None:
        """Put another value into the file, as a good agent does."""
        new = self.folder / "secret.new"
        new.touch(mode=0o600)
        new.write_text(value)
        new.replace(self.secret_file)
        self.values["SECRET_B"] = value

    def told(self) -> dict[str, str]:
        """What a service says of the secrets when it has them as they are now."""
        return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in self.values.items()}

    def service(self, name: str, *runs: int) -> Service:
        """A new environment with its port; nothing is declared yet."""
        found = Service(self, name, lasting_port())
        self.services.append(found)
        return found

    def says(self, *arguments: str, code: int = 0) -> str:
        """What a command says, on both of its outputs; run in this process, as each start of the program takes long."""
        result = cli("-c", str(self.settings_file), *arguments)
        assert result.exit_code == code, result.output
        return result.output

    # --- the daemon -------------------------------------------------------------------------------

    @property
    def memory(self) -> SqlStore:
        """The store, to be read."""
        if self._memory is None:
            self._memory = wiring.open_store(load(self.settings_file))
        return self._memory

    def begin(self) -> None:
        """Start the daemon."""
        self._daemon = self.start(log=self._log)
        eventually((self.folder / "state" / "reconciler.db").exists, LIMIT)

    def dies(self, by: str = "") -> None:
        """Kill the daemon where it is; or wait until something else did."""
        assert self._daemon
        if not by:
            self._daemon.kill()
        assert self._daemon.wait(LIMIT) == -signal.SIGKILL, by

    def loses_its_store(self) -> None:
        """Move it away, with all that belongs to it; the daemon must be dead."""
        if self._memory:
            self._memory.close()
        self._memory = None
        away = self.folder / "away"
        away.mkdir()
        for file in (self.folder / "state").glob("reconciler.db*"):
            file.replace(away / file.name)

    def end(self) -> None:
        """Stop everything, each process by its own number."""
        if self._memory:
            self._memory.close()
        if self._daemon and self._daemon.poll() is None:
            self._daemon.terminate()
            self._daemon.wait(40)
        for service in self.services:
            end(service.mood)

    def metrics(self) -> str:
        """The page."""
        with socket.create_connection(("127.0.0.1", self.looks_at), timeout=30) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            with connection.makefile("rb") as stream:
                return stream.read().decode()

    def figure(self, name: str) -> float:
        """One number of that page, over all labels."""
        lines = [one.rpartition(" ") for one in self.metrics().splitlines() if one.startswith(name)]
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)

    def polls(self, more: int) -> None:
        """Wait for so many more looks at the repository."""
        name = "reconciler_poll_duration_seconds_count"
        least = self.figure(name) + more
        eventually(lambda: self.figure(name) >= least, LIMIT)

    def looks(self, more: int) -> None:
        """Wait for so many more passes, of whichever service."""
        least = self.figure("reconciler_passes_total") + more
        eventually(lambda: self.figure("reconciler_passes_total") >= least, LIMIT)


@contextmanager
def yard(folder: Path, **settings: object) -> Iterator[Yard]:
    """A yard whose daemon runs until the block ends."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(VARIABLE, SECRETS["SECRET_A"])
        found = Yard(folder, stack.enter_context((folder / "daemon.log").open("ab")))
        stack.callback(found.end)
        found.configure(**settings)
        for run in (1, 2, 3):
            found.publish(run)
        found.begin()
        yield found


def command_line(folder: Path, name: str) -> str:
    """How supervisord starts a service of a yard."""
    place = folder / "live" / name
    python = shlex.quote(sys.executable)
    return f'/bin/sh -c "set -a; . {place}/.reconciler/environment; exec {python} -I -S service.py"'


@contextmanager
def supervised(folder: Path, *names: str) -> Iterator[Supervisord]:
    """A real supervisord for services of a yard in this folder."""
    folder.mkdir()
    own = folder / "supervisord"
    own.mkdir()
    programs = {
        name: {
            "command": command_line(folder, name),
            "directory": f"{folder}/live/{name}/current",
            "stopsignal": "KILL",
            "startretries": "2",
        }
        for name in names
    }
    with supervisord(own, programs) as running:
        yield running


def one_outcome_each(yard: Yard) -> None:
    """The audit is whole, and every intent has just one outcome."""
    entries = yard.audit()
    export = [line(entry) for entry in entries]
    export.append(trailer(len(entries), entries[-1].hash))
    assert verify(export).problems == ()
    intents = [str(entry.attempt) for entry in entries if entry.kind == "intent"]
    outcomes = [str(entry.attempt) for entry in entries if entry.kind == "outcome"]
    assert sorted(intents) == sorted(outcomes), "an intent without its one outcome"
