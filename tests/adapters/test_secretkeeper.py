"""Secrets by reference: who may use which, where they are read, and that nothing of them is ever shown."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from reconciler.core.running import SecretSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName
from reconciler.ports import Secrets
from reconciler.secretkeeper import MAX_BYTES, SecretKeeper, SecretSettings

PROD, DEV = EnvironmentName("shop/prod"), EnvironmentName("shop/dev")
CANARY = "canary-7c1f"


def keeper(*rules: Mapping[str, object]) -> Secrets:
    return SecretKeeper(SecretSettings.model_validate({"allow": [{"environments": ["*"], **rule} for rule in rules]}))


def spec(**kind: str) -> SecretSpec:
    return SecretSpec.model_validate(kind)


def value(found: Secrets, secret: SecretSpec, environment: EnvironmentName = PROD) -> str:
    return found.read(environment, {"PASSWORD": secret})["PASSWORD"]


def refusal(found: Secrets, secrets: Mapping[str, SecretSpec], environment: EnvironmentName = PROD) -> PolicyDenied:
    with pytest.raises(PolicyDenied) as refused:
        found.read(environment, secrets)
    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + refused.value.hint
    assert CANARY not in shown
    return refused.value


def missing(found: Secrets, secret: SecretSpec) -> str:
    """What is wrong with the secret called PASSWORD."""
    error = refusal(found, {"PASSWORD": secret})
    assert error.reason is Reason.SECRET_MISSING
    return error.message.removeprefix("secrets that shop/prod needs can't be had: PASSWORD ")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets" / "password"
    path.parent.mkdir()
    path.write_text(f"{CANARY}\n")
    path.chmod(0o600)
    return path


# --- out of the daemon's variables -------------------------------------------------------------


def test_a_variable_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = keeper({"env": ["PROD_*"]})
    for text in (CANARY, "rotated"):
        monkeypatch.setenv("PROD_PASSWORD", text)
        assert value(found, spec(env="PROD_PASSWORD")) == text


def test_a_variable_that_is_not_set_is_missing() -> None:
    assert missing(keeper({"env": ["*"]}), spec(env="ABSENT_VARIABLE")) == "is not set in the daemon's environment"


def test_an_empty_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_PASSWORD", "")
    assert missing(keeper({"env": ["*"]}), spec(env="PROD_PASSWORD")) == "is empty"


def test_a_variable_that_is_no_text_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, b"PROD_PASSWORD", CANARY.encode() + b"\xff")
    assert missing(keeper({"env": ["*"]}), spec(env="PROD_PASSWORD")) == "is no UTF-8 text"


# --- out of files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"word\n", "word"),
        (b"word\r\n", "word"),
        (b"word", "word"),
        (b"word\n\n", "word\n"),
        (b" two words \n", " two words "),
        (b"first\nsecond\n", "first\nsecond"),
        ("grün\n".encode(), "grün"),
    ],
)
def test_one_line_break_at_a_file_s_end_is_not_part_of_it(data: bytes, wanted: str, file: Path) -> None:
    file.write_bytes(data)
    assert value(keeper({"files": [str(file)]}), spec(file=str(file))) == wanted


def test_a_folder_allows_the_files_below_it_and_no_other(file: Path, tmp_path: Path) -> None:
    found = keeper({"files": [str(file.parent)]})
    assert value(found, spec(file=str(file))) == CANARY
    beside = tmp_path / "secrets-too"
    beside.write_text(CANARY)
    assert refusal(found, {"PASSWORD": spec(file=str(beside))}).reason is Reason.ACTIVATION_NOT_ALLOWED


def test_a_file_may_be_a_link_within_what_is_allowed_as_in_kubernetes(file: Path) -> None:
    (file.parent / "..data").symlink_to(".")
    (file.parent / "link").symlink_to("..data/password")
    assert value(keeper({"files": [str(file.parent)]}), spec(file=str(file.parent / "link"))) == CANARY


@pytest.mark.parametrize("folder", [False, True], ids=["a link", "below a linked folder"])
def test_a_link_out_of_what_is_allowed_is_not_followed(folder: bool, file: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "password"
    outside.parent.mkdir()
    outside.write_text(CANARY)
    outside.chmod(0o600)
    link = file.parent / "link"
    link.symlink_to(outside.parent if folder else outside)
    wanted = link / "password" if folder else link
    told = missing(keeper({"files": [str(file.parent)]}), spec(file=str(wanted)))
    assert told == "is in a file that links lead to, out of what is allowed"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_file_that_everybody_may_read_or_write_is_refused(mode: int, file: Path) -> None:
    file.chmod(mode)
    told = missing(keeper({"files": [str(file)]}), spec(file=str(file)))
    assert told == "is in a file that everybody may read or write: chmod o-rwx"


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o660])
def test_a_file_of_a_group_is_good(mode: int, file: Path) -> None:
    file.chmod(mode)
    assert value(keeper({"files": [str(file)]}), spec(file=str(file))) == CANARY


def test_what_is_no_file_is_refused_without_waiting(file: Path) -> None:
    found = keeper({"files": [str(file.parent)]})
    fifo = file.parent / "fifo"
    os.mkfifo(fifo, 0o600)
    (file.parent / "circle").symlink_to("circle")
    assert missing(found, spec(file=str(fifo))) == "is in a file that is no regular one"
    assert missing(found, spec(file=str(file.parent))) == "is in a file that is no regular one"
    assert missing(found, spec(file=str(file.parent / "absent"))) == "is in a file that is not there"
    assert missing(found, spec(file=str(file / "below"))).startswith("is in a file that can't be read: ")
    assert missing(found, spec(file=str(file.parent / "circle"))).startswith("is in a file that can't be read: ")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (CANARY.encode() + b"\0", "is no UTF-8 text"),
        (CANARY.encode() + b"\xff", "is no UTF-8 text"),
        (b"x" * (MAX_BYTES + 1), "is larger than 64 KiB"),
    ],
    ids=["empty", "a line break", "a NUL", "no UTF-8", "too large"],
)
def test_what_no_variable_can_hold_is_refused(data: bytes, why: str, file: Path) -> None:
    file.write_bytes(data)
    assert missing(keeper({"files": [str(file)]}), spec(file=str(file))) == why


# --- out of Git, encrypted with age --------------------------------------------------------------


def identity(file: Path) -> str:
    """Make a key as `age-keygen` writes it; gives the recipient."""
    made = pyrage.x25519.Identity.generate()
    file.write_text(f"# created: 2026-11-01T00:00:00Z\n# public key: {made.to_public()}\n{made}\n")
    file.chmod(0o600)
    return str(made.to_public())


def encrypted(text: str, *recipients: str) -> SecretSpec:
    known = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    armored: bytes = pyrage.encrypt(text.encode(), known, armored=True)
    return spec(age=armored.decode())


def test_an_encrypted_value_is_decrypted_with_the_environment_s_identity(tmp_path: Path) -> None:
    key = tmp_path / "prod.agekey"
    secret = encrypted(f"{CANARY}\n", identity(key))
    assert value(keeper({"identities": [str(key)]}), secret) == CANARY
    indented = spec(age=f"\n{secret.age}\n\n")
    assert value(keeper({"identities": [str(key)]}), indented) == CANARY


def test_a_value_copied_out_of_another_environment_s_file_can_not_be_decrypted(tmp_path: Path) -> None:
    prod, dev = tmp_path / "prod.agekey", tmp_path / "dev.agekey"
    secret = encrypted(CANARY, identity(prod))
    identity(dev)
    found = keeper(
        {"environments": [PROD], "identities": [str(prod)]}, {"environments": [DEV], "identities": [str(dev)]}
    )
    assert value(found, secret) == CANARY
    error = refusal(found, {"PASSWORD": secret}, DEV)
    assert error.message.endswith("PASSWORD can't be decrypted with this environment's identities")


def test_keys_can_be_rotated_while_both_are_named(tmp_path: Path) -> None:
    old, new = tmp_path / "old.agekey", tmp_path / "new.agekey"
    secrets = [encrypted(CANARY, identity(old)), encrypted(CANARY, identity(new))]
    found = keeper({"identities": [str(old)]}, {"identities": [str(new)]})
    assert [value(found, secret) for secret in secrets] == [CANARY, CANARY]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("flipped", "can't be decrypted with this environment's identities"),
        ("passphrase", "can't be decrypted with this environment's identities"),
        ("key absent", "can't be decrypted: a file of identities can't be read, or holds something else"),
        ("key no key", "can't be decrypted: a file of identities can't be read, or holds something else"),
        ("key public", "can't be decrypted: the identity is in a file that everybody may read or write: chmod o-rwx"),
    ],
)
def test_what_can_not_be_decrypted_is_missing_and_no_key_is_shown(damage: str, why: str, tmp_path: Path) -> None:
    key = tmp_path / "prod.agekey"
    secret = encrypted("word" * 100, identity(key))
    lines = (secret.age or "").splitlines()
    if damage == "flipped":
        lines[-3] = lines[-3][::-1]
        secret = spec(age="\n".join(lines))
    if damage == "passphrase":
        secret = spec(age=pyrage.passphrase.encrypt(b"word", "pass", armored=True).decode())
    if damage == "key absent":
        key.unlink()
    if damage == "key no key":
        key.write_text(f"AGE-SECRET-KEY-1{CANARY}\n")
    if damage == "key public":
        key.chmod(0o644)
    assert missing(keeper({"identities": [str(key)]}), secret) == why


# --- who may use what, and how all of it is told -------------------------------------------------


def test_nothing_is_allowed_by_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_OF_SECRETS", CANARY)
    kinds = {"A": spec(env="HOME_OF_SECRETS"), "B": spec(file=str(file)), "C": spec(age=armor())}
    for name, secret in kinds.items():
        error = refusal(SecretKeeper(SecretSettings()), {name: secret})
        assert error.reason is Reason.ACTIVATION_NOT_ALLOWED
        assert error.message.startswith(f"shop/prod may not use the secrets {name}: ")


def armor() -> str:
    return "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"


def test_an_environment_may_use_only_what_a_rule_that_covers_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_PASSWORD", CANARY)
    found = keeper({"environments": ["shop/prod"], "env": ["PROD_*"]}, {"environments": ["*/dev"], "env": ["DEV_*"]})
    secrets = {"PASSWORD": spec(env="PROD_PASSWORD")}
    assert found.read(PROD, secrets) == {"PASSWORD": CANARY}
    error = refusal(found, secrets, DEV)
    assert error.message == ("shop/dev may not use the secrets PASSWORD: no rule of the operator's settings allows it")
    assert error.hint == "if it should, the operator names them in a rule of secrets.allow for shop/dev, under env"


def test_all_that_are_missing_are_told_at_once_by_name_only(file: Path) -> None:
    found = keeper({"env": ["*"], "files": [str(file.parent)]})
    error = refusal(
        found,
        {"URL": spec(env="ABSENT_URL"), "PASSWORD": spec(file=str(file)), "KEY": spec(file=f"{file}-absent")},
    )
    assert error.message == (
        "secrets that shop/prod needs can't be had: URL is not set in the daemon's environment; "
        "KEY is in a file that is not there"
    )
    assert "ABSENT_URL" not in error.message
    assert str(file) not in error.message


def test_all_together_are_bounded(file: Path) -> None:
    names = []
    for number in range(9):
        path = file.with_name(f"large-{number}")
        path.write_text("x" * (MAX_BYTES - 1))
        path.chmod(0o600)
        names.append(path)
    found = keeper({"files": [str(file.parent)]})
    error = refusal(found, {f"S{number}": spec(file=str(path)) for number, path in enumerate(names)})
    assert error.message.endswith("S7, S8 are more than 512 KiB in all")
    assert found.read(PROD, {}) == {}
