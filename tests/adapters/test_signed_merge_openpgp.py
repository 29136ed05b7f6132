"""Signed merges with real OpenPGP keys, checked by the real gpgv."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from reconciler.forges import signed_merge
from reconciler.git import Mirror
from reconciler.machine.clock import SystemClock
from reconciler.model import CommitId, ForgeFacts
from reconciler.ports import Forge, Parts
from tests.gitworld import Author, GitWorld

DEV = "environments/dev.yaml"
ALICE = Author("Alice", "alice@example.com")


class Gpg:
    """A home of keys; short by name, as its agent's socket has a path of at most 108 bytes."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        environment = {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home), "LANG": "C"}
        quiet = ("--batch", "--quiet", "--yes", "--passphrase", "", "--pinentry-mode", "loopback")
        done = subprocess.run(["gpg", *quiet, *arguments], input=stdin, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def key(self, *uids: str, options: tuple[str, ...] = (), kind: str = "ed25519", expire: str = "0") -> str:
        """A new key; returns its fingerprint."""
        self.run(*options, "--quick-generate-key", uids[0], kind, "sign", expire)
        listing = self.run("--with-colons", "--list-keys", uids[0]).decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
        for uid in uids[1:]:
            self.run("--quick-add-uid", fingerprint, uid)
        return fingerprint

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def gpg() -> Iterator[Gpg]:
    home = Gpg()
    yield home
    home.close()


class Stage:
    """A branch with one commit, merged; the merge is signed by hand with whatever key a test wants."""

    def __init__(self, folder: Path, gpg: Gpg) -> None:
        self.folder, self.gpg = folder, gpg
        self.world = GitWorld(folder / "world")
        self.keyring = folder / "keyring.gpg"
        self.world.write(DEV, "1").commit(ALICE, "Begin").branch("bump").write(DEV, "2").commit(ALICE, "Bump")
        self.world.merge("bump", signer=ALICE, sign=False)

    def signed(self, fingerprint: str, *options: str, spoil: bytes = b"") -> CommitId:
        raw = self.world.raw()
        signature = self.gpg.run(*options, "--armor", "--detach-sign", "-u", fingerprint, stdin=raw)
        header = b"gpgsig " + signature.strip().replace(b"\n", b"\n ") + b"\n"
        commit = self.world.commit_raw(raw.replace(b"\n\n", b"\n" + header + b"\n" + spoil, 1))
        self.world.force_push(commit)
        return commit

    def export(self, *fingerprints: str) -> None:
        self.keyring.write_bytes(self.gpg.run("--export", *fingerprints))

    def forge(self, **options: object) -> Forge:
        bounds = Bounds()
        repository = Mirror(self.world.url, "main", "environments", self.folder / "git", bounds, lambda _: None)
        if tip := repository.head():
            repository.fetch(tip)
        parts = Parts(SystemClock(), Random(0), lambda _: None, bounds, self.folder, repository)
        return signed_merge.create({"gpg_keyring": str(self.keyring), **options}, parts)

    def facts(self, commit: CommitId, **options: object) -> ForgeFacts:
        return self.forge(**options).facts(commit)


@pytest.fixture
def stage(tmp_path: Path, gpg: Gpg) -> Stage:
    return Stage(tmp_path, gpg)


def test_the_owner_of_a_good_signature_is_known_by_all_addresses_of_the_key(stage: Stage) -> None:
    key = stage.gpg.key("Bob <Bob@Example.com>", "Bob at home <bob@home.example>")
    stage.export(key)
    (request,) = stage.facts(stage.signed(key)).requests
    person = request.reviews[0].person
    assert person.names == {"bob@example.com", "bob@home.example"}
    assert person.id in person.names


def test_a_key_without_an_address_is_known_by_its_fingerprint(stage: Stage) -> None:
    key = stage.gpg.key("Release Bot")
    stage.export(key)
    (request,) = stage.facts(stage.signed(key)).requests
    assert request.reviews[0].person.id == f"gpg:{key}"


def test_an_ssh_key_and_an_openpgp_key_of_one_address_are_one_person(stage: Stage) -> None:
    bob = stage.world.person("bob")
    key = stage.gpg.key("Robert <robert@home.example>", "Bob <BOB@example.com>")
    stage.export(key)
    stage.world.reset("bump").write(DEV, "3").commit(bob, "More", sign=True)
    stage.world.git("branch", "--force", "more")
    stage.world.reset("HEAD~2").merge("more", signer=ALICE, sign=False)
    (request,) = stage.facts(stage.signed(key), allowed_signers=str(stage.world.allowed_signers)).requests
    assert request.reviews[0].person in request.authors
    assert request.reviews[0].person.id == "bob@example.com"


def test_a_key_that_is_not_in_the_keyring_is_named(stage: Stage) -> None:
    known, unknown = stage.gpg.key("Bob <bob@example.com>"), stage.gpg.key("Mallory <mallory@example.com>")
    stage.export(known)
    facts = stage.facts(stage.signed(unknown))
    assert facts.requests == ()
    assert unknown[-16:] in facts.note


def test_a_commit_that_was_altered_after_it_was_signed_is_refused(stage: Stage) -> None:
    key = stage.gpg.key("Bob <bob@example.com>")
    stage.export(key)
    facts = stage.facts(stage.signed(key, spoil=b"Not what was signed. "))
    assert facts.requests == ()
    assert "altered" in facts.note


LONG_AGO = ("--faked-system-time", "20200101T000000")


def test_a_signature_that_has_expired_is_refused(stage: Stage) -> None:
    key = stage.gpg.key("Bob <bob@example.com>", options=LONG_AGO)
    stage.export(key)
    facts = stage.facts(stage.signed(key, *LONG_AGO, "--default-sig-expire", "1d"))
    assert facts.requests == ()
    assert "has expired" in facts.note


def test_a_key_that_has_expired_is_refused(stage: Stage) -> None:
    key = stage.gpg.key("Bob <bob@example.com>", options=LONG_AGO, expire="1d")
    stage.export(key)
    facts = stage.facts(stage.signed(key, *LONG_AGO))
    assert facts.requests == ()
    assert f"the key {key[-16:]} has expired" in facts.note


def test_a_revoked_key_is_refused(stage: Stage) -> None:
    key = stage.gpg.key("Bob <bob@example.com>")
    commit = stage.signed(key)
    certificate = (stage.gpg.home / "openpgp-revocs.d" / f"{key}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    stage.gpg.run("--import", stdin=certificate.encode())
    stage.export(key)
    facts = stage.facts(commit)
    assert facts.requests == ()
    assert "revoked" in facts.note


def test_a_weak_digest_is_refused(stage: Stage) -> None:
    key, unsigned = stage.gpg.key("Old <old@example.com>", kind="rsa2048"), stage.world.tip
    stage.export(key)
    assert stage.facts(stage.signed(key, "--digest-algo", "SHA256")).requests
    stage.world.reset(unsigned)
    facts = stage.facts(stage.signed(key, "--digest-algo", "SHA1"))
    assert facts.requests == ()
    assert "weak digest" in facts.note


def test_an_old_key_is_good_after_the_keyring_is_rotated_in(stage: Stage) -> None:
    first, second = stage.gpg.key("Bob <bob@example.com>"), stage.gpg.key("Carol <carol@example.com>")
    commit = stage.signed(second)
    stage.export(first)
    forge = stage.forge()
    assert forge.facts(commit).requests == ()
    stage.export(first, second)
    assert forge.facts(commit).requests


def _armored(stage: Stage) -> bytes:
    return stage.gpg.run("--armor", "--export")


def _keybox(stage: Stage) -> bytes:
    return (stage.gpg.home / "pubring.kbx").read_bytes()


def _cut(stage: Stage) -> bytes:
    return stage.gpg.run("--export")[:-5]


@pytest.mark.parametrize("content", [_armored, _keybox, _cut], ids=["armored", "a keybox", "cut short"])
def test_a_keyring_of_another_form_is_refused_by_name(stage: Stage, content: Callable[[Stage], bytes]) -> None:
    stage.gpg.key("Bob <bob@example.com>")
    stage.keyring.write_bytes(content(stage))
    with pytest.raises(Terminal, match="keyring") as refused:
        stage.forge()
    assert refused.value.reason is Reason.INVALID_SETTINGS


def test_gpgv_that_is_missing_is_out_of_reach_and_no_refusal(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    key = stage.gpg.key("Bob <bob@example.com>")
    stage.export(key)
    commit = stage.signed(key)
    forge = stage.forge()
    with monkeypatch.context() as without:
        without.setenv("PATH", str(stage.folder))
        with pytest.raises(Transient, match="gpgv is not installed") as failed:
            forge.facts(commit)
    assert failed.value.reason is Reason.FORGE_UNAVAILABLE
