"""Running ssh-keygen and gpgv: fixed arguments, a deadline, nothing of the caller's environment, nothing on disk.

What a tool wants in files goes in by pipes, which also makes the text that is checked the very text that was read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from reconciler.ports import Trace

SIGNATURE_BYTES = 16 * 1024
"""Largest signature that is looked at. A pipe takes 64 KiB without a reader; RSA with 16384 bits needs 5."""
SSH = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n*")
"""An armored SSH signature; the group is its body."""

_PACKAGES = {"ssh-keygen": "the OpenSSH client", "gpgv": "gpgv"}


class Input:
    """Stands in an argument list where a tool wants a file's name."""


INPUT = Input()


class ToolFailed(Exception):
    """A tool is missing, can't be started, or does not end. `hint` says what a person can do about it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an SSH signature says of itself: the public key, in the form of its wire, and what it was made for."""

    key: bytes
    namespace: bytes


def run(
    tool: str,
    arguments: Sequence[str | Input],
    contents: Sequence[bytes],
    stdin: bytes,
    *,
    seconds: float,
    trace: Trace,
) -> tuple[int, str]:
    """Run a tool with contents in the place of files, in their order. Returns exit code and output.

    Args:
        tool: Its name; `PATH` decides where it is.
        arguments: None of them a secret: every user can read them.
        contents: What each `INPUT` among the arguments stands for; together less than a pipe takes.
        stdin: What it reads.
        seconds: The deadline.
        trace: Called with the tool's name right before it runs.

    Raises:
        ToolFailed: It gave no answer.
    """
    with ExitStack() as stack:
        ends = [_readable(stack, content) for content in contents]
        names = (f"/dev/fd/{end}" for end in ends)
        argv = [next(names) if isinstance(argument, Input) else argument for argument in arguments]
        trace(tool)
        try:
            done = subprocess.run(
                [tool, *argv],
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
                pass_fds=ends,
                start_new_session=True,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"} | _time_zone(),
            )
        except FileNotFoundError:
            raise ToolFailed(f"{tool} is not installed", f"install {_PACKAGES.get(tool, tool)}") from None
        except subprocess.TimeoutExpired:
            hint = "is the machine overloaded, or bounds.git_local_seconds very small?"
            raise ToolFailed(f"{tool} did not end within {seconds:g} s", hint) from None
        except OSError as error:
            raise ToolFailed(f"{tool} could not be started: {error.strerror}", "") from None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def envelope(body: str) -> Envelope | None:
    """What the body of an armored SSH signature says of itself (OpenSSH, PROTOCOL.sshsig); None: it is malformed."""
    try:
        blob = base64.b64decode(body.replace("\n", ""), validate=True)
    except binascii.Error:
        return None
    if not blob.startswith(b"SSHSIG\x00\x00\x00\x01"):
        return None
    strings = []
    at = 10
    for _ in range(5):  # public key, namespace, reserved, hash algorithm, signature
        length = int.from_bytes(blob[at : at + 4], "big")
        at += 4 + length
        if at > len(blob):
            return None
        strings.append(blob[at - length : at])
    return Envelope(strings[0], strings[1]) if at == len(blob) else None


def fingerprint(key: bytes) -> str:
    """As ssh-keygen shows a key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def first_line(output: str) -> str:
    """The first words of a tool, fit to be shown."""
    line = next((line for line in output.splitlines() if line.strip()), "no reason given")
    return "".join(c if c.isprintable() else "?" for c in line)[:200]


def _readable(stack: ExitStack, content: bytes) -> int:
    """A pipe's end from which a tool reads this content; small enough to be written before anybody reads."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    try:
        os.write(writing, content)
    finally:
        os.close(writing)
    return reading


def _time_zone() -> dict[str, str]:
    """Times in an allowed signers file without a Z are in the zone of the system."""
    return {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}
