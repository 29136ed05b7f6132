"""Who signed a commit: its signature against the operator's keys, by ssh-keygen and gpgv.

The tools decide; what is read here beforehand only finds the key and the line to check against, so that
a refusal can say which key it was.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Reason, Transient
from reconciler.forges.signed_merge.people import Roster
from reconciler.model import Commit, Person
from reconciler.ports import Trace
from reconciler.signing import tools
from reconciler.signing.tools import INPUT, SIGNATURE_BYTES, SSH, Input, ToolFailed

_PGP = re.compile(r"-----BEGIN PGP SIGNATURE-----\n[A-Za-z0-9+/=\n :.()-]*?\n-----END PGP SIGNATURE-----\n*")
_STRONG = frozenset({"8", "9", "10", "11"})
"""SHA-256, SHA-384, SHA-512, SHA-224 by their OpenPGP numbers."""
_REFUSED = ("EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG", "NO_PUBKEY", "KEYREVOKED", "FAILURE")


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
        if match := SSH.fullmatch(text):
            return self._ssh(commit, text, match.group(1), roster)
        if _PGP.fullmatch(text):
            return self._pgp(commit, text, roster)
        return NotSigned("carries a signature that is neither one of SSH nor one of OpenPGP")

    def _ssh(self, commit: Commit, armor: str, body: str, roster: Roster) -> Signed | NotSigned:
        found = tools.envelope(body)
        if found is None:
            return NotSigned("carries an SSH signature that is not well-formed")
        key, namespace = base64.b64encode(found.key).decode(), found.namespace
        shown = tools.fingerprint(found.key)
        if namespace != b"git":
            return NotSigned(f"carries a signature made for {namespace[:40]!r} and not for git, by the key {shown}")
        if key not in roster.lines:
            return NotSigned(f"is signed by the key {shown}, which is not among the allowed signers")
        why = ""
        for line in roster.lines[key]:
            arguments = ("-Y", "verify", "-n", "git", "-I", line.presented, "-s", INPUT, "-f", INPUT)
            code, output = self._run("ssh-keygen", arguments, (armor.encode(), line.text.encode()), commit.payload)
            if code == 0:
                return Signed(roster.by_key[key], lasting=not line.timed)
            why = tools.first_line(output)
        return NotSigned(f"carries a signature of the key {shown} that ssh-keygen refuses: {why}")

    def _pgp(self, commit: Commit, armor: str, roster: Roster) -> Signed | NotSigned:
        if self._keyring is None:
            return NotSigned("is signed with OpenPGP, and the settings name no gpg_keyring")
        arguments = ("--homedir", os.devnull, "--keyring", str(self._keyring), "--status-fd", "1", "--", INPUT, "-")
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
        self, tool: str, arguments: Sequence[str | Input], contents: Sequence[bytes], stdin: bytes
    ) -> tuple[int, str]:
        try:
            return tools.run(tool, arguments, contents, stdin, seconds=self._seconds, trace=self._trace)
        except ToolFailed as failed:
            raise Transient(Reason.FORGE_UNAVAILABLE, str(failed), failed.hint) from None


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
