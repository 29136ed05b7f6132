"""Whose key is whose: the operator's allowed signers and keyring, put together into persons.

A person is everything that hangs together: keys that share a principal, principals that share a key, an
OpenPGP key whose user ids name a principal. So nobody counts twice by having two keys or two addresses.
Two people who share an address count as one; that errs on the safe side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.forges.signed_merge.openpgp import PublicKey
from reconciler.forges.signed_merge.signers import SignerLine
from reconciler.model import Person

_BRACKETED = re.compile(r"<([^<>]*)>")

_Token = tuple[str, str]
"""A kind (`address`, `ssh`, `gpg`) and a value; a person is a group of them."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody who may sign, as of one reading of the operator's files."""

    lines: Mapping[str, tuple[SignerLine, ...]]
    """The allowed signers' lines by key (base64)."""
    by_key: Mapping[str, Person]
    """Persons by SSH key (base64)."""
    by_fingerprint: Mapping[str, Person]
    """Persons by the fingerprint of an OpenPGP primary key."""
    digest: str
    """Names the bytes of the files that this was read from."""


def roster(lines: Iterable[SignerLine], keys: Iterable[PublicKey], contents: Iterable[bytes]) -> Roster:
    """Put the two files together.

    Args:
        lines: The allowed signers, in the file's order: a person's first principal is their id.
        keys: The keyring.
        contents: The bytes that both were read from.
    """
    groups: list[list[_Token]] = []
    by_key: dict[str, tuple[SignerLine, ...]] = {}
    for line in lines:
        by_key[line.key] = (*by_key.get(line.key, ()), line)
        _join(groups, [*(("address", principal) for principal in line.principals), ("ssh", line.key)])
    for key in keys:
        _join(groups, [*(("address", email) for email in key.emails), ("gpg", key.fingerprint)])
    people = {token: _person(group) for group in groups for token in group}
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()
    return Roster(
        lines=by_key,
        by_key={value: person for (kind, value), person in people.items() if kind == "ssh"},
        by_fingerprint={value: person for (kind, value), person in people.items() if kind == "gpg"},
        digest=digest,
    )


def claimed(identity: str) -> Person | None:
    """The person that an author line or a trailer speaks of: by the address in it, else by the name."""
    found = _BRACKETED.search(identity)
    called = ((found.group(1) if found else "") or identity).strip(" <>").lower()
    return Person.claimed(called) if called else None


def _join(groups: list[list[_Token]], tokens: list[_Token]) -> None:
    """All of these are one person, and so is whatever any of them hung together with before."""
    touching = [group for group in groups if not set(group).isdisjoint(tokens)]
    if not touching:
        groups.append(list(dict.fromkeys(tokens)))
        return
    for group in touching[1:]:
        groups.remove(group)
        touching[0].extend(group)
    touching[0][:] = dict.fromkeys([*touching[0], *tokens])


def _person(group: list[_Token]) -> Person:
    addresses = [value for kind, value in group if kind == "address"]
    names = addresses or [f"gpg:{value}" for kind, value in group if kind == "gpg"]
    return Person(names[0], frozenset(names))
