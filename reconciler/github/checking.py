"""What an operator is told before the first change: whether GitHub answers, as whom, and which right is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.github.answers import GitHubAnswer, read
from reconciler.github.api import Api
from reconciler.github.refusals import NotThere
from reconciler.net import Unavailable

_LEVELS = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Need:
    """A right to the repository.

    Args:
        permission: As GitHub names it in "Permissions required for GitHub Apps".
        level: How far it must go.
        why: What does not work without it.
        proof: A path below the repository that only who may read it can list; None: none is that cheap.
    """

    permission: str
    level: Literal["read", "write"]
    why: str
    proof: str | None = None

    def __str__(self) -> str:
        return f"{self.permission}: {self.level} ({self.why})"

    def is_met(self, granted: str) -> bool:
        """Whether what was granted is enough."""
        return granted in _LEVELS and _LEVELS.index(granted) >= _LEVELS.index(self.level)


class _Repository(GitHubAnswer):
    id: int
    full_name: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A repository that can be used."""

    id: int
    message: str


def check(api: Api, needs: Sequence[Need], unavailable: Unavailable) -> Checked:
    """Ask for the repository, and for the rights to it: nothing is written.

    An App's rights are told with its token. What a token may write nobody can tell without writing, so only what it
    may read is tried, by one request for each right.

    Raises:
        Transient: There is no answer, or something is missing; the message says all of it.
    """
    try:
        found = read(_Repository, api.get(api.of_repository("")), unavailable)
    except NotThere:
        raise unavailable(
            f"GitHub has no repository {api.repository}, or does not show it to this credential",
            "check repository in the settings, and give the token or the App access to it",
        ) from None
    if found.full_name.casefold() != api.repository.casefold():
        raise unavailable(
            f"the repository {api.repository} is called {found.full_name} by now",
            "set repository in the settings to it",
        )
    granted = api.granted()
    missing = [need for need in needs if _is_missing(api, need, granted)]
    if missing:
        told = "".join(f"\nmissing: {need}" for need in missing)
        wanted = ", ".join(f"{need.permission}: {need.level}" for need in missing)
        raise unavailable(
            f"GitHub answers for {found.full_name} (id {found.id}), but this credential may not do all that is needed"
            + told,
            f"give the token or the App on this repository: {wanted}"
            + ("; an App's owner then has to accept it at the installation" if granted is not None else ""),
        )
    return Checked(found.id, f"{found.full_name} (id {found.id}) answers, {_proven(needs, granted is not None)}")


def _is_missing(api: Api, need: Need, granted: dict[str, str] | None) -> bool:
    if granted is not None:
        return not need.is_met(granted.get(need.permission, ""))
    return need.proof is not None and not api.may_read(api.of_repository(need.proof))


def _proven(needs: Sequence[Need], app: bool) -> str:
    if app:
        return "and the App has every right that is needed"
    readable = ", ".join(need.permission for need in needs if need.proof)
    untried = ", ".join(str(need) for need in needs if need.level == "write")
    return f"and the token may read {readable}" + (f"\nnot tried: {untried}" if untried else "")
