"""Whose work a pull request is, and who may speak for the repository: accounts, addresses, rights and teams.

A person is an account, by its number. A commit names people by address, in lines that anybody can write; GitHub links
an address to the account that has it. So lines only ever add somebody to the authors. Who pushed is no claim: GitHub
knows it by the credentials that were used.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Lock
from urllib.parse import quote

from reconciler.forges.github.answers import (
    Account,
    Activity,
    GitIdentity,
    ListedCommit,
    Membership,
    Permission,
    Pull,
    read,
    read_all,
)
from reconciler.github import Api, NotThere
from reconciler.model import Person

ADDRESSES = 50
"""Most addresses that GitHub is asked about for one pull request."""
KEPT = 4096
"""Addresses whose account is kept in memory."""

_CO_AUTHOR = re.compile(r"^[ \t]*co-authored-by[ \t]*:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_BRACKETED = re.compile(r"<([^<>]*)>")
_WRITES = frozenset({"admin", "write"})
"""`permission` of "Get repository permissions for a user": `maintain`, and roles above write, are told as `write`."""
_GITHUB = "web-flow"
"""GitHub's own account: the committer of what is made on its pages."""
_GITHUBS_ADDRESS = "noreply@github.com"


class TooMany(Exception):
    """A pull request names more addresses than are asked about."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Who had a hand in a pull request."""

    authors: tuple[Person, ...]
    unlinked: tuple[str, ...]
    """Commits with an author or committer whom GitHub links to no account, oldest first."""
    head_pushed: datetime | None
    """When the head was pushed last; None when it is not known who did."""


class People:
    """Asks GitHub about people. Safe to use from several threads.

    Args:
        api: GitHub.
        host: GitHub's own name, `github.com`, for the addresses that it gives out.
    """

    def __init__(self, api: Api, host: str) -> None:
        self._api = api
        self._organisation = api.repository.partition("/")[0]
        own = "|".join(re.escape(name) for name in {"github.com", host})
        self._noreply = re.compile(rf"(?:([0-9]{{1,18}})\+)?([^@+]+)@users\.noreply\.(?:{own})", re.IGNORECASE)
        self._known: OrderedDict[str, Person] = OrderedDict()
        self._lock = Lock()

    def hands(self, pull: Pull, listed: Sequence[ListedCommit]) -> Hands:
        """Everybody who had a hand in the content: who opened it, who pushed it, and whom its commits name.

        Raises:
            TooMany: Its commits name too many people.
            Transient: `ForgeUnavailable`.
        """
        pushes = self._pushes(pull, {one.sha for one in listed})
        accounts = [pull.user, *(push.actor for push in pushes)]
        addresses: dict[str, None] = {}
        linked: set[str] = set()
        for one in listed:
            for account, line in ((one.author, one.commit.author), (one.committer, one.commit.committer)):
                address = _address_of(line)
                if account is None:
                    addresses |= dict.fromkeys(address)
                elif account.login != _GITHUB:
                    accounts.append(account)
                    linked.update(address)
        named = dict.fromkeys(address for one in listed for address in _co_authors(one.commit.message))
        people = [person(account) for account in accounts if account]
        people += map(self._stranger, addresses)
        people += self._named([address for address in named if address not in linked.union(addresses)])
        return Hands(
            authors=_merged(people),
            unlinked=tuple(one.sha for one in listed if _is_unlinked(one)),
            head_pushed=max(
                (push.timestamp for push in pushes if push.after == pull.head.sha and push.actor), default=None
            ),
        )

    def speaker(self, one: Person, teams: Iterable[str]) -> Person:
        """Somebody whose word may count, with what they may do now, and the teams of the organisation that they are in.

        The login that is asked about may be another account's by now: the answer must be about this person's id.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        if not self._writes(one):
            return replace(one, writer=False)
        own = f"@{self._organisation}/".casefold()
        inside = {team for team in sorted(teams) if team.casefold().startswith(own) and self._is_member(one, team)}
        return replace(one, names=one.names | inside)

    def _writes(self, one: Person) -> bool:
        place = self._api.of_repository(f"/collaborators/{one.name}/permission")
        try:
            said = read(Permission, self._api.get(place))
        except NotThere:
            return False
        return said.permission in _WRITES and said.user is not None and str(said.user.id) == one.id

    def _is_member(self, one: Person, team: str) -> bool:
        quoted = partial(quote, safe="")
        slug = team.partition("/")[2].casefold()
        path = "/".join(["/orgs", self._organisation, "teams", quoted(slug), "memberships", quoted(one.name)])
        try:
            return read(Membership, self._api.get(path)).state == "active"
        except NotThere:
            return False

    def _pushes(self, pull: Pull, commits: Set[str]) -> list[Activity]:
        """Changes of the head's branch to one of the pull request's commits ("List repository activities").

        Up to the merge alone: who restores the branch behind it had no part in what was merged.
        """
        home = pull.head.repo
        if home is None or pull.base.repo is None:  # the fork was removed
            return []
        ours = home.id == pull.base.repo.id
        path = self._api.of_repository("/activity") if ours else f"/repos/{home.full_name}/activity"
        try:
            said = self._api.pages(path, {"ref": f"refs/heads/{pull.head.ref}"})
        except NotThere:
            return []
        made = [one for one in read_all(Activity, said) if one.after in commits]
        return [one for one in made if pull.merged_at is None or one.timestamp <= pull.merged_at]

    def _named(self, addresses: Sequence[str]) -> list[Person]:
        """Co-authors. Whoever GitHub can't name is a person of that address."""
        people, asked = [], 0
        for address in addresses:
            known = self._by_noreply(address) or self._remembered(address)
            if known is None:
                asked += 1
                if asked > ADDRESSES:
                    raise TooMany(f"names more than {ADDRESSES} co-authors by address")
                known = self._asked(address)
            people.append(known or self._stranger(address))
        return people

    def _stranger(self, address: str) -> Person:
        """Somebody of whom only an address is known; in GitHub's older addresses there is a login."""
        if known := self._by_noreply(address):
            return known
        old = self._noreply.fullmatch(address)
        return Person.claimed(address, *([old[2]] if old else []))

    def _by_noreply(self, address: str) -> Person | None:
        """`ID+login@users.noreply.github.com` ("Setting your commit email address") names the account."""
        found = self._noreply.fullmatch(address)
        return Person(str(int(found[1])), frozenset({found[2]})) if found and found[1] else None

    def _remembered(self, address: str) -> Person | None:
        with self._lock:
            return self._known.get(address)

    def _asked(self, address: str) -> Person | None:
        """The account of an address, from a commit of it on the default branch; None when GitHub knows none."""
        said = self._api.get(self._api.of_repository("/commits"), {"author": address, "per_page": 1})
        for one in read_all(ListedCommit, said):
            if one.author and address in _address_of(one.commit.author):
                with self._lock:
                    self._known[address] = person(one.author)
                    while len(self._known) > KEPT:
                        self._known.popitem(last=False)
                return person(one.author)
        return None


def person(account: Account) -> Person:
    """Somebody by their number; whatever is no user's account is a bot: apps, mannequins, organisations."""
    bot = account.type != "User" or account.login.casefold().endswith("[bot]")
    return Person(str(account.id), frozenset({account.login}), bot=bot)


def _is_unlinked(commit: ListedCommit) -> bool:
    """Whether nobody is behind a line of it. What is made on GitHub's pages has a person as its author, too."""
    return commit.author is None or commit.author.login == _GITHUB or commit.committer is None


def _merged(people: Iterable[Person]) -> tuple[Person, ...]:
    """Each id once, with every name that was seen for it."""
    merged: dict[str, Person] = {}
    for one in people:
        before = merged.get(one.id, one)
        merged[one.id] = replace(before, names=before.names | one.names, bot=before.bot or one.bot)
    return tuple(merged.values())


def _address_of(line: GitIdentity | None) -> tuple[str, ...]:
    address = (line.email or "").strip().lower() if line else ""
    return (address,) if address and address != _GITHUBS_ADDRESS else ()


def _co_authors(message: str) -> Iterable[str]:
    """Addresses in the trailers that name further authors; the whole line where it has none."""
    for line in _CO_AUTHOR.findall(message):
        found = _BRACKETED.search(line)
        address = ((found[1] if found else "") or line).strip(" <>\r\t").lower()
        if address:
            yield address
