"""Activation of a program, or of a group of them, under supervisord: stopped, started, and watched until it runs.

Nothing waits inside of supervisord: it is told what to do, and then asked again and again how far it is, so that the
deadline is ours. A program counts as running when its supervisord says so, which is after its `startsecs`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from reconciler.activators.failing import failed, last
from reconciler.activators.xmlrpc import Fault, Server, Unanswered
from reconciler.core.allowance import Allowance, not_allowed
from reconciler.core.delivery import forms
from reconciler.core.running import ActivateSpec
from reconciler.errors import CredentialsNeeded, Reason, Terminal
from reconciler.machine.programs import Output
from reconciler.model import EnvironmentName
from reconciler.net import Secret, VariableName, origin
from reconciler.ports import Activator, Clock, Job, Parts

KEY = "activators.supervisor.allow"
_CALL_SECONDS = 5.0
_PAUSES = (0.02, 0.05, 0.1, 0.2)
_NOT_STOPPED = frozenset({70})
"""NOT_RUNNING of `supervisor.xmlrpc.Faults`: there is nothing to be stopped any more."""
_NOT_STARTED = frozenset({50, 60})
"""SPAWN_ERROR, also of one that has ended by now, and ALREADY_STARTED: its state tells more."""


class State(IntEnum):
    """Of a process, as supervisord numbers them."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000


_LOGS = ("Stderr", "Stdout")
_CUTS = 4
"""How many places are tried to begin at: supervisord can't answer with the second half of a character."""
_RESTING = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})
_UNDER_WAY = frozenset({State.STARTING, State.RUNNING})


def _server(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/") and not parts.query:
        return value
    if parts.scheme == "http" and parts.path in ("", "/", "/RPC2") and not parts.query and origin(value).loopback:
        return value
    raise ValueError("unix:///path/of/the.sock, or http:// with 127.0.0.1, [::1] or localhost and a port")


class Rule(Allowance):
    """Programs that some environments may restart."""

    programs: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        min_length=1,
        max_length=100,
        description="names of programs, or group:program, in which * stands for any characters",
    )


class Options(BaseModel):
    """Where supervisord is, and what the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_server)] = Field(
        "unix:///run/supervisor.sock", description="where it listens: unix:///path, or http:// and a loopback address"
    )
    username: str = Field("", pattern=r"^[^:\x00-\x1f]*$", description="who we are to it; empty: it asks nobody")
    password_env: VariableName | None = Field(None, description="the variable that holds the password")
    password_file: Path | None = Field(None, description="the file that holds the password")
    allow: tuple[Rule, ...] = Field((), max_length=1_000, description="programs, and the environments they are for")

    @model_validator(mode="after")
    def _password(self) -> Self:
        if bool(self.username) != (self.password_env is not None or self.password_file is not None):
            raise ValueError("username goes with password_env or password_file")
        return self


def create(options: Mapping[str, object], parts: Parts) -> Activator:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this activator takes.
    """
    return SupervisorActivator(Options.model_validate(dict(options)), parts)


@dataclass(frozen=True, slots=True)
class Process:
    """One process as supervisord describes it."""

    name: str
    """With its group: `group:program`."""
    state: State
    description: str

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Process:
        """From an answer.

        Raises:
            Unanswered: It is no description of a process.
        """
        try:
            state = State(info["state"])
            return cls(f"{info['group']}:{info['name']}", state, " ".join(str(info["description"]).split()))
        except (KeyError, TypeError, ValueError):
            raise Unanswered("the answer is not what supervisord says of a process") from None

    def __str__(self) -> str:
        group, _, program = self.name.partition(":")
        dated = self.state in (State.STOPPED, State.EXITED)  # then it is a moment in some zone
        said = f": {self.description}" if self.description and not dated else ""
        return f"{program if group == program else self.name} is {self.state.name}{said}"


class SupervisorActivator:
    """Restarts programs of one supervisord."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self._rules = options.allow
        self._username = options.username
        self._secret = Secret("the password of supervisord", _not_had, options.password_env, options.password_file)
        self._server = Server(options.url, parts.clock, self._credentials)
        self._clock = parts.clock
        self._log_bytes = parts.bounds.output_bytes

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Whether a rule covers this environment and names this program."""
        program = spec.supervisor or ""
        rules = (rule for rule in self._rules if rule.covers(environment))
        if not any(fnmatchcase(program, pattern) for rule in rules for pattern in rule.programs):
            raise not_allowed(environment, f"restart the {spec.words}", KEY, {"programs": [program]})

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Stop what runs, start it, and wait until it runs."""
        self.allow(job.environment, spec)
        restart = _Restart(self._server, self._clock, spec, job, self._log_bytes)
        try:
            return restart.through()
        except Unanswered as problem:
            hint = "see that supervisord runs, and the url, username and password in activators.supervisor"
            raise failed(job, f"supervisord can't be asked: {problem}", hint=hint) from None
        except Fault as fault:
            hint = f"see supervisorctl status {spec.supervisor}"
            raise failed(job, f"the {spec.words}: supervisord says {fault.faultString[:200]}", hint=hint) from None
        except CredentialsNeeded as needed:
            raise failed(job, needed.message, hint=needed.hint) from None

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:  # noqa: ARG002 - as the port says
        """What supervisord says of the program, when it does not run."""
        try:
            found = processes(self._server, spec.supervisor or "", _CALL_SECONDS)
        except Fault as fault:
            return f"supervisord says {fault.faultString[:200]}"
        except (Unanswered, CredentialsNeeded):
            return ""
        return ", ".join(str(process) for process in found if process.state not in _UNDER_WAY)

    def check(self) -> str:
        """See `ports.Checkable`."""
        try:
            version = self._server.call("supervisor.getSupervisorVersion", seconds=_CALL_SECONDS)
        except (Unanswered, Fault) as problem:
            told = problem.faultString[:200] if isinstance(problem, Fault) else str(problem)
            hint = "see that supervisord runs, and the url, username and password in activators.supervisor"
            raise Terminal(Reason.ACTIVATION_FAILED, f"supervisord can't be asked: {told}", hint) from None
        return f"supervisord {version} answers"

    def _credentials(self) -> str:
        return f"{self._username}:{self._secret.token()}" if self._username else ""


def _not_had(message: str, hint: str) -> CredentialsNeeded:
    return CredentialsNeeded(Reason.ACTIVATION_FAILED, message, hint)


def processes(server: Server, name: str, seconds: float) -> tuple[Process, ...]:
    """A program's process, or those of a group for `group:*`.

    Raises:
        Unanswered: No answer in time, or none that can be read.
        xmlrpc.client.Fault: There is no such program.
    """
    group, _, program = name.partition(":")
    if program != "*":
        return (Process.of(server.call("supervisor.getProcessInfo", name, seconds=seconds)),)
    every = map(Process.of, server.call("supervisor.getAllProcessInfo", seconds=seconds))
    found = tuple(process for process in every if process.name.startswith(f"{group}:"))
    if not found:
        raise Fault(10, f"BAD_NAME: {name}")
    return found


class _Restart:
    """One restart, up to its deadline."""

    def __init__(self, server: Server, clock: Clock, spec: ActivateSpec, job: Job, log_bytes: int) -> None:
        self._server = server
        self._clock = clock
        self._spec = spec
        self._job = job
        self._log_bytes = log_bytes
        self._deadline = clock.monotonic() + spec.within_seconds

    def through(self) -> str:
        found = self._until(lambda process: process.state in _RESTING, self._stop)
        logs = {process.name: self._log_end(process.name) for process in found}
        for process in found:
            self._tell("supervisor.startProcess", process.name, _NOT_STARTED)
        found = self._until(lambda process: process.state is not State.STARTING)
        if broken := [process for process in found if process.state is not State.RUNNING]:
            printed = "\n".join(self._log_since(process.name, logs[process.name]) for process in broken)
            words = ", ".join(map(str, broken))
            raise failed(self._job, words, printed, f"see supervisorctl tail {broken[0].name} stderr")
        return ", ".join(map(str, found))

    def _all(self) -> tuple[Process, ...]:
        return processes(self._server, self._spec.supervisor or "", self._left())

    def _stop(self, process: Process) -> None:
        """Told again whenever it runs: one that has just ended may be started again by supervisord itself."""
        if process.state is not State.STOPPING:
            self._tell("supervisor.stopProcess", process.name, _NOT_STOPPED)

    def _until(
        self, reached: Callable[[Process], bool], otherwise: Callable[[Process], None] = lambda _: None
    ) -> tuple[Process, ...]:
        """Look until all of them are there.

        Args:
            reached: Whether one is.
            otherwise: What to do, at each look, with one that is not.

        Raises:
            Terminal: `ActivationFailed`: the deadline came first.
        """
        tries = 0
        while not all(map(reached, found := self._all())):
            if self._clock.monotonic() >= self._deadline:
                states = ", ".join(str(process) for process in found if not reached(process))
                what = f"the {self._spec.words} was not restarted within {self._spec.within}"
                raise failed(self._job, f"{what}: {states}")
            for process in found:
                if not reached(process):
                    otherwise(process)
            threading.Event().wait(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
        return found

    def _tell(self, method: str, name: str, unless: frozenset[int]) -> None:
        try:
            self._server.call(method, name, False, seconds=self._left())
        except Fault as fault:
            if fault.faultCode not in unless:
                raise

    def _left(self) -> float:
        return min(_CALL_SECONDS, max(0.1, self._deadline - self._clock.monotonic()))

    def _log_end(self, name: str) -> tuple[int, ...]:
        """How long its logs are before the start: what an earlier release printed is no word of this one."""
        return tuple(self._tail(log, name, 0)[1] for log in _LOGS)

    def _log_since(self, name: str, ends: tuple[int, ...]) -> str:
        """What it printed since the start: on stderr, or else on stdout; secrets masked."""
        for log, before in zip(_LOGS, ends, strict=True):
            after = self._tail(log, name, 0)[1]
            new = min(self._log_bytes, after - before if after >= before else after)  # a shorter log is a new one
            text = next(filter(None, (self._tail(log, name, new - cut)[0] for cut in range(min(new, _CUTS)))), "")
            printed = Output(tail=text.encode(), left_out=1).text(forms(self._job.secrets))
            if last(printed := printed.partition("left out]")[2]):
                return printed
        return ""

    def _tail(self, log: str, name: str, length: int) -> tuple[str, int]:
        """The last bytes of a log, and how long all of it is."""
        try:
            text, end, _ = self._server.call(f"supervisor.tailProcess{log}Log", name, 0, length, seconds=self._left())
            return str(text), int(end)
        except (Fault, Unanswered, TypeError, ValueError):
            return "", 0
