"""One git process at a time, within bounds: fixed arguments, no shell, no configuration but ours.

Each call has a deadline, its output a limit, and the process is ended with its children (`git-remote-https`,
`ssh`) as `processes` says. Whatever git would read from the
machine (system and user configuration, prompts, hooks, replace refs, grafts of the caller's
environment) is shut off here once, so that no caller has to think of it. Configuration goes in by
environment variables: a credential must not stand in an argument list, which every user can read.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.git.processes import PROCESSES, restrain
from reconciler.git.remote import Remote, shown
from reconciler.machine.clock import SystemClock
from reconciler.ports import Trace

CHUNK = 256 * 1024
"""Bytes per read of a pipe; more than a pipe holds at once."""
COMPLAINT_BYTES = 16 * 1024
"""Bytes of stderr that are kept, the last ones: a hostile server may talk on without end."""

_PASSED_ON = (
    *("PATH", "HOME", "TZ", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"),
)
_FIXED = {
    "LANG": "C",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": f"{os.devnull}/none",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_SSH_VARIANT": "ssh",
    "GCM_INTERACTIVE": "never",
}
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.bigFileThreshold": "1m",
    "core.commitGraph": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.unpackLimit": "1",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1",
    "init.defaultRefFormat": "files",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
_TELLING = ("fatal:", "error:", "ERROR:", "remote: error:", "! [")
"""How the lines begin that say what is wrong; the last three are a server's on a push."""

Sink = Callable[[bytes], None]


class GitFailed(Transient):
    """Git ended with an error, or said what it never says. Raised for a remote and for a broken mirror alike."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(Reason.REPOSITORY_UNAVAILABLE, message, hint)


class Git:
    """Runs git for one remote. Safe to use from several threads.

    Deadlines run on the machine's own clock, whatever time the rest of the program is told: processes and
    sockets live by that one.
    """

    def __init__(self, remote: Remote, bounds: Bounds, trace: Trace, *, durable: bool = True) -> None:
        """Prepare; nothing is started.

        Args:
            remote: What git may talk to.
            bounds: Deadlines.
            trace: Called with `git <command>` right before each process.
            durable: Whether git waits for the disk. Not where what it writes can be had again at any time.
        """
        self._remote = remote
        self._bounds = bounds
        self._trace = trace
        self._clock = SystemClock()
        self._local = _environment(bounds, None, durable=durable)
        self._network = _environment(bounds, remote, durable=durable)

    def network(self, git_dir: Path, *arguments: str, limit: int) -> bytes:
        """Run a command that talks to the remote; returns at most `limit` bytes of output.

        Raises:
            GitFailed: Git said no; its last words are in the message.
            Transient: `RepositoryUnavailable`, after `bounds.git_seconds` or too much output.
        """
        seconds = self._bounds.git_seconds
        code, output, complaint = self._run(git_dir, arguments, self._network, b"", seconds, _Collected(limit))
        if code != 0:
            words = complaint or f"ended with {code}"
            raise GitFailed(f"{self._remote.address}: git {arguments[0]}: {words}", _hint(complaint))
        return output

    def local(
        self, git_dir: Path, *arguments: str, stdin: bytes = b"", limit: int = 64 * 1024**2, sink: Sink | None = None
    ) -> bytes:
        """Run a command on the mirror alone.

        Args:
            git_dir: The mirror.
            arguments: The command and its arguments, none of them from outside without a check.
            stdin: What the command reads.
            limit: Most bytes of output; counts only without a `sink`.
            sink: Takes the output piece by piece as it comes.

        Raises:
            GitFailed: Git said no.
            Transient: `RepositoryUnavailable`, after `bounds.git_local_seconds` or too much output.
        """
        code, output, complaint = self.ask(git_dir, *arguments, stdin=stdin, limit=limit, sink=sink)
        if code != 0:
            raise GitFailed(f"the local mirror: git {arguments[0]}: {complaint or f'ended with {code}'}")
        return output

    def ask(
        self, git_dir: Path, *arguments: str, stdin: bytes = b"", limit: int = 64 * 1024**2, sink: Sink | None = None
    ) -> tuple[int, bytes, str]:
        """Like `local`, for a command whose exit code is its answer: code, output, complaint."""
        collected = _Collected(limit)
        seconds = self._bounds.git_local_seconds
        return self._run(git_dir, arguments, self._local, stdin, seconds, collected, sink or collected)

    def start(self, git_dir: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command on the mirror alone that goes on until its starter has `PROCESSES` end it.

        Raises:
            Transient: `RepositoryUnavailable`: it can't be started.
        """
        self._trace(f"git {arguments[0]}")
        return PROCESSES.start(("git", f"--git-dir={git_dir}", *arguments), self._local, subprocess.PIPE)

    def late(self, command: str) -> Transient:
        """That a command on the mirror did not answer within its deadline."""
        return _late(self._remote, command, self._bounds.git_local_seconds)

    def _run(
        self,
        git_dir: Path,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        stdin: bytes,
        seconds: float,
        collected: _Collected,
        sink: Sink | None = None,
    ) -> tuple[int, bytes, str]:
        self._trace(f"git {arguments[0]}")
        expires = self._clock.monotonic() + seconds
        argv = ("git", f"--git-dir={git_dir}", *arguments)
        with PROCESSES.running(argv, environment, subprocess.PIPE if stdin else subprocess.DEVNULL) as process:
            if environment is self._network:
                restrain(process)
            with _Conversation(process, stdin, sink or collected) as conversation:
                try:
                    if not conversation.hold(lambda: expires - self._clock.monotonic()):
                        raise _late(self._remote, arguments[0], seconds)
                    code = process.wait(timeout=max(0.0, expires - self._clock.monotonic()))
                except subprocess.TimeoutExpired:
                    raise _late(self._remote, arguments[0], seconds) from None
        return code, bytes(collected.data), last_words(bytes(conversation.complaint))


class _Collected:
    """Keeps output up to a limit."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def __call__(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > self._limit:
            raise Transient(
                Reason.REPOSITORY_UNAVAILABLE,
                f"git printed more than {self._limit} bytes where less is expected",
                "is this the right repository, branch and folder?",
            )


class _Conversation:
    """Feeds a process and drains it, both at once: neither side may wait for the other."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, sink: Sink) -> None:
        self.complaint = bytearray()
        self._left = memoryview(stdin)
        self._sink = sink
        self._selector = selectors.DefaultSelector()
        if process.stdin is not None:
            self._join(process.stdin.fileno(), selectors.EVENT_WRITE, lambda fd: self._write(process, fd))
        if process.stdout is not None and process.stderr is not None:
            self._join(process.stdout.fileno(), selectors.EVENT_READ, lambda fd: self._read(fd, self._sink))
            self._join(process.stderr.fileno(), selectors.EVENT_READ, lambda fd: self._read(fd, self._hear))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def hold(self, left: Callable[[], float]) -> bool:
        """Go on until both outputs end; False when no time is left before that."""
        while self._selector.get_map():
            seconds = left()
            if seconds <= 0:
                return False
            for key, _ in self._selector.select(seconds):
                key.data(key.fd)
        return True

    def _join(self, fd: int, event: int, act: Callable[[int], None]) -> None:
        os.set_blocking(fd, False)
        self._selector.register(fd, event, act)

    def _write(self, process: subprocess.Popen[bytes], fd: int) -> None:
        try:
            self._left = self._left[os.write(fd, self._left[:CHUNK]) :]
        except BrokenPipeError:  # it has ended, or needs no more; its exit code tells
            self._left = self._left[:0]
        if not self._left and process.stdin is not None:
            self._selector.unregister(fd)
            process.stdin.close()

    def _read(self, fd: int, take: Sink) -> None:
        chunk = os.read(fd, CHUNK)
        if chunk:
            take(chunk)
        else:
            self._selector.unregister(fd)

    def _hear(self, chunk: bytes) -> None:
        self.complaint += chunk
        del self.complaint[:-COMPLAINT_BYTES]


def _environment(bounds: Bounds, remote: Remote | None, *, durable: bool) -> dict[str, str]:
    """All that a git process gets to know. Without a remote, every transport is refused."""
    config = {**_CONFIG, "core.fsync": "all" if durable else "none"}
    config["http.lowSpeedTime"] = str(max(1, round(bounds.read_seconds)))
    connect = max(1, round(bounds.connect_seconds))
    ssh = f"ssh -o BatchMode=yes -o ConnectTimeout={connect} -o ServerAliveInterval={connect} -o ServerAliveCountMax=3"
    if remote and remote.authorization:
        origin = "/".join(remote.address.split("/", 3)[:3])
        config[f"http.{origin}/.extraHeader"] = f"Authorization: {remote.authorization}"
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # A shared connection outlives its first user and would keep our pipes open past every deadline.
    variables["GIT_SSH_COMMAND"] = ssh + " -o ControlMaster=no -o ControlPath=none -o ForwardAgent=no"
    variables["GIT_ALLOW_PROTOCOL"] = remote.protocol if remote else "none"
    if remote is None:
        variables["GIT_SHALLOW_FILE"] = ""  # the mirror is whole: nothing cuts its history off
    variables["GIT_CONFIG_COUNT"] = str(len(config))
    for index, (key, value) in enumerate(config.items()):
        variables[f"GIT_CONFIG_KEY_{index}"] = key
        variables[f"GIT_CONFIG_VALUE_{index}"] = value
    return variables | _FIXED


def last_words(stderr: bytes) -> str:
    """The line of git's complaint that says what is wrong, fit to be shown."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(_TELLING)] or lines[-1:]
    return shown("; ".join(dict.fromkeys(telling[:3])))


def _late(remote: Remote, command: str, seconds: float) -> Transient:
    return Transient(
        Reason.REPOSITORY_UNAVAILABLE,
        f"{remote.address}: git {command} did not end within {seconds:g} s",
        "is the server reachable from here? A very large repository may need a larger bounds.git_seconds",
    )


def _hint(complaint: str) -> str:
    """What a person can do, by the words that git, curl and ssh use for the usual causes."""
    for words, hint in _HINTS:
        if any(word in complaint for word in words):
            return hint
    return "try the same address with git ls-remote as the user that runs the daemon"


_HINTS = (
    (
        ("terminal prompts disabled", "Authentication failed", "error: 401", "error: 403", "Permission denied"),
        "the server wants other credentials: check the token or key in the operator's settings",
    ),
    (("error: 30",), "the server redirects elsewhere: put the final address into repository.url"),
    (("Host key verification failed",), "add the server's key to known_hosts of the user that runs the daemon"),
    (
        ("does not exist", "not found", "does not appear to be a git repository", "error: 404"),
        "check repository.url, and that these credentials may read it",
    ),
    (("Could not resolve host", "Failed to connect", "Connection refused"), "is the server up and reachable?"),
)
