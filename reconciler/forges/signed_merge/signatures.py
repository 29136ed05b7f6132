"""Who signed a commit: its signature against the operator's keys, by ssh-keygen and gpgv.

The tools decide; what is read here beforehand only finds the key and the line to check against, so that
a refusal can say which key it was. Nothing is written to disk: signature and line go in by pipes, which
also makes the line that is checked the very line that was read.
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
from pathlib import Path

from reconciler.errors import Reason, Transient
from reconciler.forges.signed_merge.people import Roster
from reconciler.model import Commit, Person
from reconciler.ports import Trace

SIGNATURE_BYTES = 16 * 1024
"""Largest signature that is looked at. A pipe takes 64 KiB without a reader; RSA with 16384 bits needs 5."""

_SSH = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n*")
_PGP = re.compile(r"-----BEGIN PGP SIGNATURE-----\n[A-Za-z0-9+/=\n :.()-]*?\n-----END PGP SIGNATURE-----\n*")
_STRONG = frozenset({"8", "9", "10", "11"})
"""SHA-256, SHA-384, SHA-512, SHA-224 by their OpenPGP numbers."""
_REFUSED = ("EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG", "NO_PUBKEY", "KEYREVOKED", "FAILURE")


class _File:
    """Stands in an argument list where a tool wants a file's name."""


_FILE = _File()


@dataclass(frozen=True, slots=True)
class Signed:
    """A good signature by somebody the operator knows."""

    person: Person
    lasting: bool
    """Whether it stays good for as long as the operator's files stay as they are."""


@dataclass(frozen=True, slots=True)
class NotSigned:
    """No signature that counts, and why, in words that end a sentence about the commit."""

    why: str


class Signatures:
    """Checks commits. Safe to use from several threads.

    Args:
        keyring: The operator's OpenPGP keyring, if there is one.
        seconds: Deadline of one check.
        trace: Called with the tool's name right before it runs.
    """

    def __init__(self, keyring: Path | None, seconds: float, trace: Trace) -> None:
        self._keyring = keyring
        self._seconds = seconds
        self._trace = trace

    def check(self, commit: Commit, roster: Roster) -> Signed | NotSigned:
        """Who signed this commit.

        Raises:
            Transient: `ForgeUnavailable`, when a tool is missing or does not end.
        """
        text = commit.signature
        if text is None:
            return NotSigned("carries no signature")
        if len(text) > SIGNATURE_BYTES:
            return NotSigned("carries a signature of a size that no key makes")
        if match := _SSH.fullmatch(text):
            return self._ssh(commit, text, match.group(1), roster)
        if _PGP.fullmatch(text):
            return self._pgp(commit, text, roster)
        return NotSigned("carries a signature that is neither one of SSH nor one of OpenPGP")

    def _ssh(self, commit: Commit, armor: str, body: str, roster: Roster) -> Signed | NotSigned:
        fields = _sshsig(body)
        if fields is None:
            return NotSigned("carries an SSH signature that is not well-formed")
        key, namespace = base64.b64encode(fields[0]).decode(), fields[1]
        shown = ssh_fingerprint(fields[0])
        if namespace != b"git":
            return NotSigned(f"carries a signature made for {namespace[:40]!r} and not for git, by the key {shown}")
        if key not in roster.lines:
            return NotSigned(f"is signed by the key {shown}, which is not among the allowed signers")
        why = ""
        for line in roster.lines[key]:
            arguments = ("-Y", "verify", "-n", "git", "-I", line.presented, "-s", _FILE, "-f", _FILE)
            code, output = self._run("ssh-keygen", arguments, (armor.encode(), line.text.encode()), commit.payload)
            if code == 0:
                return Signed(roster.by_key[key], lasting=not line.timed)
            why = _first_line(output)
        return NotSigned(f"carries a signature of the key {shown} that ssh-keygen refuses: {why}")

    def _pgp(self, commit: Commit, armor: str, roster: Roster) -> Signed | NotSigned:
        if self._keyring is None:
            return NotSigned("is signed with OpenPGP, and the settings name no gpg_keyring")
        arguments = ("--homedir", os.devnull, "--keyring", str(self._keyring), "--status-fd", "1", "--", _FILE, "-")
        code, output = self._run("gpgv", arguments, (armor.encode(),), commit.payload)
        found = [words[1:] for line in output.splitlines() if (words := line.split())[:1] == ["[GNUPG:]"] and words[1:]]
        kinds = [words[0] for words in found]
        valid = [words for words in found if words[0] == "VALIDSIG"]
        if bad := next((words for words in found if words[0] in _REFUSED), None):
            return NotSigned(f"carries an OpenPGP signature that gpgv refuses: {_meaning(bad)}")
        if code != 0 or kinds.count("GOODSIG") != 1 or kinds.count("NEWSIG") > 1 or len(valid) != 1:
            return NotSigned("carries an OpenPGP signature that gpgv does not call good")
        fingerprint, digest = valid[0][-1], valid[0][8] if len(valid[0]) > 10 else ""
        if digest not in _STRONG:
            return NotSigned(f"carries an OpenPGP signature with a weak digest, by the key {fingerprint}")
        person = roster.by_fingerprint.get(fingerprint)
        if person is None:
            return NotSigned(f"is signed by the OpenPGP key {fingerprint}, which is not in the keyring")
        return Signed(person, lasting=False)  # a key may expire, and only gpgv knows when

    def _run(
        self, tool: str, arguments: Sequence[str | _File], contents: Sequence[bytes], stdin: bytes
    ) -> tuple[int, str]:
        """Run a tool with contents in the place of files, in their order. Returns exit code and output."""
        with ExitStack() as stack:
            ends = [_readable(stack, content) for content in contents]
            names = (f"/dev/fd/{end}" for end in ends)
            argv = [next(names) if isinstance(argument, _File) else argument for argument in arguments]
            self._trace(tool)
            try:
                done = subprocess.run(
                    [tool, *argv],
                    input=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=self._seconds,
                    check=False,
                    pass_fds=ends,
                    start_new_session=True,
                    cwd="/",
                    env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"} | _time_zone(),
                )
            except FileNotFoundError:
                raise _unavailable(f"{tool} is not installed", f"install {_PACKAGES[tool]}") from None
            except subprocess.TimeoutExpired:
                hint = "is the machine overloaded, or bounds.git_local_seconds very small?"
                raise _unavailable(f"{tool} did not end within {self._seconds:g} s", hint) from None
            except OSError as error:
                raise _unavailable(f"{tool} could not be started: {error.strerror}", "") from None
        return done.returncode, done.stdout.decode("utf-8", "replace")


def ssh_fingerprint(blob: bytes) -> str:
    """As ssh-keygen shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _sshsig(body: str) -> tuple[bytes, bytes] | None:
    """Public key and namespace in a signature (OpenSSH, PROTOCOL.sshsig)."""
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
    return (strings[0], strings[1]) if at == len(blob) else None


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


def _first_line(output: str) -> str:
    line = next((line for line in output.splitlines() if line.strip()), "no reason given")
    return "".join(c if c.isprintable() else "?" for c in line)[:200]


def _meaning(words: Sequence[str]) -> str:
    kind, who = words[0], words[1] if len(words) > 1 else "?"
    return {
        "BADSIG": f"the commit was altered after the key {who} signed it",
        "EXPSIG": f"the signature of the key {who} has expired",
        "EXPKEYSIG": f"the key {who} has expired",
        "REVKEYSIG": f"the key {who} was revoked",
        "ERRSIG": f"the key {who} is not in the keyring, or of a kind that gpgv does not know",
        "NO_PUBKEY": f"the key {who} is not in the keyring",
    }.get(kind, kind)


def _unavailable(what: str, hint: str) -> Transient:
    return Transient(Reason.FORGE_UNAVAILABLE, what, hint)


_PACKAGES = {"ssh-keygen": "the OpenSSH client", "gpgv": "gpgv"}
