"""Secrets by reference: which ones an environment may use is the operator's word, and each is read anew at each use.

An environment may use what a rule that covers it names, and nothing else. Keys for age-encrypted values belong to the
rule too: so a value that was copied out of another environment's file can't be decrypted for this one.

No message holds a value, or what was found in its place, or where it is kept: only the secret's name in the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconciler.core.allowance import Allowance
from reconciler.core.running import SecretSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName

MAX_BYTES = 64 * 1024
"""Of one secret, and of a file with keys."""
MAX_ALL_BYTES = 512 * 1024
"""Of all secrets of one environment: with config they still fit into the variables of one process."""
KEY = "secrets.allow"
_OTHERS_READ = stat.S_IROTH | stat.S_IWOTH


def _absolute(value: Path) -> Path:
    return Path(os.path.abspath(value))  # noqa: PTH100 - resolve() would follow links


_Place = Annotated[Path, AfterValidator(_absolute)]


class SecretAllowance(Allowance):
    """Secrets that some environments may use."""

    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?]+$", max_length=128)], ...] = Field(
        (), max_length=1_000, description="names of the daemon's variables, in which * stands for any characters"
    )
    files: tuple[_Place, ...] = Field(
        (), max_length=1_000, description="files that hold a secret each, and folders of such files"
    )
    identities: tuple[_Place, ...] = Field(
        (), max_length=100, description="files with the age identities that decrypt these environments' secrets"
    )


class SecretSettings(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[SecretAllowance, ...] = Field(
        (), max_length=1_000, description="a list of rules: secrets, and the environments that may use them"
    )


class _Missing(Exception):
    """One secret can't be had; the message says why, without the value and its place."""


class SecretKeeper:
    """Reads secrets from the daemon's variables, from files, and out of age."""

    def __init__(self, settings: SecretSettings) -> None:
        self._rules = settings.allow

    def check(self) -> str:
        """See `ports.Checkable`: whether the identities can be read. Whether a value is there is asked at each use."""
        import pyrage  # type: ignore[import-untyped]  # here, as it is large and few need it

        paths = dict.fromkeys(path for rule in self._rules for path in rule.identities)
        problems = []
        for path in paths:
            try:
                _identities(path, pyrage.x25519.Identity.from_str)
            except _Missing as problem:
                problems.append(f"{path}: what is encrypted with age {problem}")
        if problems:
            hint = "the file is one that age-keygen wrote, which the daemon's user alone may read"
            raise PolicyDenied(Reason.SECRET_MISSING, "\n".join(problems), hint)
        rules = f"{len(self._rules)} rule{'s' if len(self._rules) != 1 else ''}"
        return f"{rules}, {len(paths)} file{'s' if len(paths) != 1 else ''} of age identities"

    def read(self, environment: EnvironmentName, secrets: Mapping[str, SecretSpec]) -> Mapping[str, str]:
        """The values, by name.

        Raises:
            PolicyDenied: `ActivationNotAllowed`: no rule lets this environment have some of them. `SecretMissing`:
                some can't be had. Either names all of these.
        """
        rules = [rule for rule in self._rules if rule.covers(environment)]
        denied = [name for name, spec in secrets.items() if not _allowed(rules, spec)]
        if denied:
            raise _not_allowed(environment, {name: secrets[name] for name in denied})
        values: dict[str, str] = {}
        problems: list[str] = []
        for name, spec in secrets.items():
            try:
                values[name] = _value(rules, spec)
            except _Missing as problem:
                problems.append(f"{name} {problem}")
        if not problems and sum(len(value.encode()) for value in values.values()) > MAX_ALL_BYTES:
            problems = [f"{', '.join(values)} are more than {MAX_ALL_BYTES // 1024} KiB in all"]
        if problems:
            raise PolicyDenied(
                Reason.SECRET_MISSING,
                f"secrets that {environment} needs can't be had: {'; '.join(problems)}",
                "put them where the environment file says; nothing was touched, and the next look finds them",
            )
        return values


def _allowed(rules: Iterable[SecretAllowance], spec: SecretSpec) -> bool:
    if spec.env is not None:
        return any(fnmatchcase(spec.env, pattern) for rule in rules for pattern in rule.env)
    if spec.file is not None:
        return any(_within(Path(spec.file), place) for rule in rules for place in rule.files)
    return any(rule.identities for rule in rules)


def _within(path: Path, place: Path) -> bool:
    return path == place or place in path.parents


def _not_allowed(environment: EnvironmentName, denied: Mapping[str, SecretSpec]) -> PolicyDenied:
    kinds = {"env": "env", "file": "files", "age": "identities"}
    wanted = sorted({kinds[kind] for spec in denied.values() for kind in kinds if getattr(spec, kind) is not None})
    return PolicyDenied(
        Reason.ACTIVATION_NOT_ALLOWED,
        f"{environment} may not use the secrets {', '.join(denied)}: no rule of the operator's settings allows it",
        f"if it should, the operator names them in a rule of {KEY} for {environment}, under {' and '.join(wanted)}",
    )


def _value(rules: Iterable[SecretAllowance], spec: SecretSpec) -> str:
    if spec.env is not None:
        data = os.environb.get(spec.env.encode())
        if data is None:
            raise _Missing("is not set in the daemon's environment")
        return _text(data)
    if spec.file is not None:
        return _text(_file(Path(spec.file), [place for rule in rules for place in rule.files]))
    return _text(_decrypted((spec.age or "").strip() + "\n", rules))


def _text(data: bytes) -> str:
    """As text, without the one line break that editors and `echo` leave at its end."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _Missing("is no UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise _Missing("is empty")
    if len(text.encode()) > MAX_BYTES:
        raise _Missing(f"is larger than {MAX_BYTES // 1024} KiB")
    return text


def _file(path: Path, places: Iterable[Path]) -> bytes:
    """A file's bytes; it must be in an allowed place, also after every link on the way is followed."""
    try:
        real = path.resolve(strict=True)
        if not any(_within(real, place.resolve()) for place in places):
            raise _Missing("is in a file that links lead to, out of what is allowed")
        return _read(real)
    except FileNotFoundError:
        raise _Missing("is in a file that is not there") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise _Missing(f"is in a file that can't be read: {_words(error)}") from None


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Missing("is in a file that is no regular one")
        if found.st_mode & _OTHERS_READ:
            raise _Missing("is in a file that everybody may read or write: chmod o-rwx")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 2)  # a line break, and one more to see that it is too large
    finally:
        os.close(descriptor)


def _words(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else "links in a circle"


def _decrypted(armored: str, rules: Iterable[SecretAllowance]) -> bytes:
    import pyrage

    identities: list[Any] = []
    for path in dict.fromkeys(path for rule in rules for path in rule.identities):
        identities += _identities(path, pyrage.x25519.Identity.from_str)
    try:
        return bytes(pyrage.decrypt(armored.encode(), identities))
    except pyrage.DecryptError:
        raise _Missing("can't be decrypted with this environment's identities") from None


def _identities(path: Path, of: Callable[[str], Any]) -> list[Any]:
    """The X25519 identities in a file as `age-keygen` writes it. What is wrong with a line is not told: it is a key."""
    try:
        lines = _read(path.resolve(strict=True)).decode("ascii").splitlines()
        return [of(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    except _Missing as problem:
        raise _Missing(f"can't be decrypted: the identity {problem}") from None
    except Exception:  # noqa: BLE001 - also what is no key, whose error may hold it
        raise _Missing("can't be decrypted: a file of identities can't be read, or holds something else") from None
