"""Who is in the tour: an engineer and a reviewer, each with a signing key that the operator knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconciler.demo.folder import DemoFolder
from reconciler.demo.programs import run


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who commits."""

    name: str
    key: Path

    @property
    def email(self) -> str:
        """What approvals name them by."""
        return f"{self.name}@example.com"


@dataclass(frozen=True, slots=True)
class Cast:
    """All of them."""

    engineer: Person
    reviewer: Person


def cast(folder: DemoFolder) -> Cast:
    """The people, by where their keys are."""
    return Cast(*(Person(name, folder.keys / name) for name in ("engineer", "reviewer")))


def make_keys(folder: DemoFolder) -> None:
    """Give each of them a key, and tell the operator whose it is."""
    folder.keys.mkdir(mode=0o700)
    lines = []
    people = cast(folder)
    for person in (people.engineer, people.reviewer):
        argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person.email, "-f", str(person.key))
        run(argv, folder.path)
        kind, key = person.key.with_suffix(".pub").read_text().split()[:2]
        lines.append(f'{person.email} namespaces="git" {kind} {key}\n')
    folder.allowed_signers.write_text("".join(lines))
