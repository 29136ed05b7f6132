"""Checkpoints of the audit chain: signed with the daemon's SSH key, checked with its public part."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import tempfile
from datetime import datetime
from pathlib import Path

from reconciler.core.audit import NAMESPACE, Checkpoint, Signature, statement
from reconciler.errors import Reason, Terminal, Transient
from reconciler.ports import Trace
from reconciler.signing import tools

_KEY = re.compile(r"\b((?:sk-)?(?:ssh|ecdsa)-[A-Za-z0-9@.-]+)[ \t]+(AAAA[A-Za-z0-9+/=]+)")
_ANYBODY = "auditor"
"""ssh-keygen wants every key to have a person; one that comes alone gets this one."""


class Signer:
    """Signs checkpoints with a private key that has no passphrase.

    Args:
        key: An absolute path.
        seconds: Deadline of one signature.
        trace: Called with the tool's name right before it runs.
    """

    def __init__(self, key: Path, seconds: float, trace: Trace) -> None:
        self._key = key
        self._seconds = seconds
        self._trace = trace

    def sign(self, entries: int, head: str, at: datetime) -> Checkpoint:
        """Say that the chain had so many entries, the last of them with this hash.

        Raises:
            Terminal: `InvalidSettings`: the key can't be used.
            Transient: `StoreUnavailable`: ssh-keygen gave no answer.
        """
        arguments = ("-Y", "sign", "-n", NAMESPACE, "-f", str(self._key))
        said = statement(entries, head, at)
        try:
            code, output = tools.run("ssh-keygen", arguments, (), said, seconds=self._seconds, trace=self._trace)
        except tools.ToolFailed as failed:
            raise Transient(Reason.STORE_UNAVAILABLE, f"the audit log was not signed: {failed}", failed.hint) from None
        armor = tools.SSH.search(output)
        if code != 0 or armor is None:
            raise _unusable(self._key, tools.first_line(output))
        return Checkpoint(entries, head, at, armor.group().rstrip("\n") + "\n")


class Verifier:
    """Checks checkpoints against public keys that an auditor trusts. Its calls are `core.audit.Signatures`.

    Args:
        text: An OpenSSH public key, several of them, or a file in the format of ssh-keygen's ALLOWED SIGNERS.
        seconds: Deadline of one check.
        trace: Called with the tool's name right before it runs.

    Raises:
        Terminal: `InvalidSettings`: there is no key in it.
    """

    def __init__(self, text: str, seconds: float, trace: Trace) -> None:
        self._seconds = seconds
        self._trace = trace
        self._lines: dict[str, list[tuple[str, str]]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                self._add(number, line.strip())
        if not self._lines:
            raise Terminal(Reason.INVALID_SETTINGS, "no public key in the file", _WANTED)

    def __call__(self, checkpoint: Checkpoint) -> Signature:
        """Whether the signature is good, and by which key.

        Raises:
            Transient: `StoreUnavailable`: ssh-keygen gave no answer.
        """
        text = checkpoint.signature
        armor = tools.SSH.fullmatch(text) if len(text) <= tools.SIGNATURE_BYTES else None
        found = tools.envelope(armor.group(1)) if armor else None
        if found is None:
            return Signature("", "carries no well-formed SSH signature")
        shown = tools.fingerprint(found.key)
        if found.namespace != NAMESPACE.encode():
            what = f"was signed for {found.namespace[:40]!r} and not for {NAMESPACE}, by the key {shown}"
            return Signature(shown, what)
        lines = self._lines.get(base64.b64encode(found.key).decode(), [])
        if not lines:
            return Signature(shown, f"is signed by the key {shown}, which is not the one that was given")
        refusals = [self._refusal(checkpoint, person, line) for person, line in lines]
        if "" in refusals:
            return Signature(shown)
        return Signature(shown, f"carries a signature of the key {shown} that ssh-keygen refuses: {refusals[0]}")

    def _refusal(self, checkpoint: Checkpoint, person: str, line: str) -> str:
        """Why ssh-keygen says no; empty when it says yes. A key that expired later was good when it signed."""
        when = ("-O", f"verify-time={checkpoint.at:%Y%m%d%H%M%S}Z") if "valid-" in line else ()
        arguments = ("-Y", "verify", "-n", NAMESPACE, "-I", person, "-s", tools.INPUT, "-f", tools.INPUT, *when)
        contents = (checkpoint.signature.encode(), line.encode() + b"\n")
        said = statement(checkpoint.entries, checkpoint.head, checkpoint.at)
        try:
            code, output = tools.run("ssh-keygen", arguments, contents, said, seconds=self._seconds, trace=self._trace)
        except tools.ToolFailed as failed:
            what = f"the signatures were not checked: {failed}"
            raise Transient(Reason.STORE_UNAVAILABLE, what, failed.hint) from None
        return "" if code == 0 else tools.first_line(output)

    def _add(self, number: int, line: str) -> None:
        found = _KEY.search(line)
        if found is None:
            raise Terminal(Reason.INVALID_SETTINGS, f"line {number}: no public key", _WANTED)
        person = line.split(maxsplit=1)[0].strip('"').split(",")[0] if found.start() else _ANYBODY
        listed = line if found.start() else f'{person} namespaces="{NAMESPACE}" {found.group()}'
        self._lines.setdefault(found.group(2), []).append((person, listed))


def key_of(checkpoint: Checkpoint) -> str:
    """The fingerprint of the key that a checkpoint says it was signed with; empty when it says none."""
    armor = tools.SSH.fullmatch(checkpoint.signature)
    found = tools.envelope(armor.group(1)) if armor else None
    return tools.fingerprint(found.key) if found else ""


def make_key(key: Path, seconds: float, trace: Trace) -> None:
    """Make a key of our own, unless there is one: readable by nobody else, its public part beside it with `.pub`.

    Made beside its place and linked into it, so that whoever finds the key finds all of it, and of two processes at
    once one wins. The public part can be made again from the key (`ssh-keygen -y`), should the power fail in between.

    Raises:
        Terminal: `InvalidSettings`: the folder can't be written.
        Transient: `StoreUnavailable`: ssh-keygen gave no answer.
    """
    if key.exists():
        return
    try:
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=key.parent, prefix=".new-") as folder:
            fresh = Path(folder) / "key"
            _generate(fresh, seconds, trace)
            _move(fresh, key)
    except OSError as error:
        raise _unusable(key, error.strerror or "can't be made") from None


def _generate(fresh: Path, seconds: float, trace: Trace) -> None:
    arguments = ("-q", "-t", "ed25519", "-N", "", "-C", "reconciler audit", "-f", str(fresh))
    try:
        code, output = tools.run("ssh-keygen", arguments, (), b"", seconds=seconds, trace=trace)
    except tools.ToolFailed as failed:
        raise Transient(Reason.STORE_UNAVAILABLE, f"no key for the audit log: {failed}", failed.hint) from None
    if code != 0:
        raise _unusable(fresh, tools.first_line(output))


def _move(fresh: Path, key: Path) -> None:
    for file in (fresh, fresh.with_name("key.pub"), fresh.parent):
        _flush(file)
    with contextlib.suppress(FileExistsError):
        os.link(fresh, key)
        fresh.with_name("key.pub").replace(key.with_name(key.name + ".pub"))
    _flush(key.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(key: Path, why: str) -> Terminal:
    hint = "name an SSH private key without a passphrase, which only the user of the daemon can read, as audit.key"
    return Terminal(Reason.INVALID_SETTINGS, f"audit.key: {key}: {why}", hint)


_WANTED = "an OpenSSH public key (ssh-ed25519 AAAA…), or lines in the format of allowed_signers"
