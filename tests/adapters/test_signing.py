"""Signing checkpoints with real ssh-keygen keys, and every way in which that can go wrong."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.audit import Checkpoint
from reconciler.errors import Reason, Terminal, Transient
from reconciler.signing import Signer, Verifier, key_of, make_key
from tests.factories import NOON

HEAD = "a" * 64


def silent(_: str) -> None: ...


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "audit" / "key", 60, silent)
    return tmp_path / "audit" / "key"


def signed(key: Path) -> Checkpoint:
    return Signer(key, 60, silent).sign(7, HEAD, NOON)


def test_what_is_signed_is_good_for_the_public_part_of_the_key(key: Path) -> None:
    made = signed(key)
    found = Verifier(key.with_suffix(".pub").read_text(), 60, silent)(made)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert (found.fault, found.key, key_of(made)) == ("", shown.split()[1], shown.split()[1])


def test_a_key_is_made_once_also_by_many_at_once(tmp_path: Path) -> None:
    place = tmp_path / "audit" / "key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_key(place, 60, silent), range(8)))
    before = place.read_bytes()
    make_key(place, 60, silent)
    assert place.read_bytes() == before
    public = subprocess.run(["ssh-keygen", "-y", "-f", place], capture_output=True, text=True, check=True).stdout
    assert place.with_suffix(".pub").read_text().split()[:2] == public.split()[:2]
    assert sorted(path.name for path in place.parent.iterdir()) == ["key", "key.pub"]


def test_a_key_that_others_can_read_is_not_used(key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(Terminal, match=r"audit\.key") as refused:
        signed(key)
    assert refused.value.reason is Reason.INVALID_SETTINGS


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked")
    subprocess.run(argv, check=True)
    with pytest.raises(Terminal, match=r"audit\.key"):
        signed(tmp_path / "locked")


def test_without_the_tool_or_its_answer_it_is_tried_again_later(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, verifier = signed(key), Verifier(key.with_suffix(".pub").read_text(), 60, silent)
    monkeypatch.setenv("PATH", str(tmp_path))
    for attempt in (lambda: signed(key), lambda: verifier(made), lambda: make_key(tmp_path / "new", 60, silent)):
        with pytest.raises(Transient, match="ssh-keygen is not installed"):
            attempt()
    (tmp_path / "ssh-keygen").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    with pytest.raises(Transient, match="did not end within"):
        Signer(key, 0.2, silent).sign(7, HEAD, NOON)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("", id="none"),
        pytest.param("-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n", id="no envelope"),
        pytest.param(
            "-----BEGIN SSH SIGNATURE-----\n" + "A" * 20_000 + "\n-----END SSH SIGNATURE-----\n", id="too long"
        ),
    ],
)
def test_what_is_no_signature_is_said_to_be_none(key: Path, signature: str) -> None:
    found = Verifier(key.with_suffix(".pub").read_text(), 60, silent)(Checkpoint(7, HEAD, NOON, signature))
    assert found.fault == "carries no well-formed SSH signature"


def test_a_key_that_expired_later_was_good_when_it_signed(key: Path) -> None:
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    made = signed(key)
    assert Verifier(f'a@example.com valid-before="20260302" {public}\n', 60, silent)(made).fault == ""
    assert "ssh-keygen refuses" in Verifier(f'a@example.com valid-before="20260228" {public}\n', 60, silent)(made).fault
