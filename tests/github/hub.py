"""A small stateful GitHub: accounts, teams, an App, and any number of repositories over real git.

The HTTP side is `server.py`; what people do in a repository is `repository.py`. One lock: the tests' actions and the
answers to requests see one state at a time. Its clock begins a day ago and goes on by a second with each deed, so
that the order of deeds can always be told and nothing lies in the future.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tests.github.faults import Faults
from tests.github.repository import HubRepository
from tests.github.server import ApiServer
from tests.github.state import Account, App, Call, Team
from tests.github.storage import Storage
from tests.github.tokens import Tokens, rsa_key

_HIDDEN = re.compile(r"(?:(\d+)\+)?(.+)@users\.noreply\.github\.com", re.IGNORECASE)
"""docs: 'Email addresses reference', the address that hides another one."""


class Hub:
    """One server. `public_url` is what it says its own address is: prism's, when one stands before it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.faults = Faults()
        self.storage = Storage()
        self.log: list[Call] = []
        self.strange: list[str] = []
        self._ids = count(1_000_001)
        self._depth = 0
        self._later: list[Callable[[], None]] = []
        self._app: App | None = None
        self._begin()
        self._server = ApiServer(self)
        self.url = self._server.url
        self.public_url = self.url

    def _begin(self) -> None:
        self.repositories: dict[str, HubRepository] = {}
        self.accounts: dict[int, Account] = {}
        self.teams: dict[str, Team] = {}
        self._now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        self.operator = self.person("reconciler-operator")
        self.github = self.person("web-flow", email="noreply@github.com", name="GitHub")
        self.tokens = Tokens(self.operator)
        self.token = self.tokens.add(self.operator, f"ghp_{secrets.token_hex(18)}")

    def reset(self) -> None:
        """As new: nobody, nothing, no log, no faults. Ids are never given again."""
        with self.lock:
            self.come_up()
            self.faults.clear()
            self.storage.clear()
            self._begin()
            self._app = None
            self.strange = []
            self.forget()

    def close(self) -> None:
        """Stop both servers."""
        self._server.close()
        self.storage.close()

    # --- people -----------------------------------------------------------------------------------

    def person(self, login: str, *, email: str = "", name: str = "", kind: str = "User") -> Account:
        """A new account; with the login of nobody else at this time."""
        with self.lock:
            assert not any(one.login == login for one in self.accounts.values()), f"{login} is taken"
            plain = login.removesuffix("[bot]")
            account = Account(self.new_id(), login, email or f"{plain}@example.com", name or plain.capitalize(), kind)
            self.accounts[account.id] = account
            return account

    def bot(self, login: str) -> Account:
        """A new account of type Bot."""
        return self.person(login, kind="Bot")

    def rename(self, account: Account, login: str) -> None:
        """Give an account another login; the old one is free again."""
        with self.lock:
            account.login = login

    def account(self, login: str) -> Account | None:
        """Who has this login now; logins differ by more than case."""
        return next((one for one in self.accounts.values() if one.login.lower() == login.lower()), None)

    def by_email(self, email: str) -> Account | None:
        """Whose address it is, as GitHub finds the account of a commit."""
        hidden = _HIDDEN.fullmatch(email)
        if hidden:
            return self.accounts.get(int(hidden[1])) if hidden[1] else self.account(hidden[2])
        return next((one for one in self.accounts.values() if one.email.lower() == email.lower()), None)

    def team(self, name: str, *members: Account) -> Team:
        """A team, `acme/sre`."""
        organisation, slug = name.lstrip("@").split("/")
        return self.teams.setdefault(f"{organisation}/{slug}", Team(self.new_id(), organisation, slug, list(members)))

    def app(self) -> App:
        """The one App, with a real key, installed once."""
        if self._app is None:
            private, public = rsa_key()
            self._app = App(self.new_id(), self.new_id(), private, public, self.bot("reconciler[bot]"))
            self.tokens.app = self._app
            for repository in self.repositories.values():
                repository.allow(self._app.account, "admin")
        return self._app

    def repository(self, name: str, folder: Path, private: bool = False) -> HubRepository:
        """A new repository, with a `main` of one commit.

        Args:
            name: `owner/name`.
            folder: Where its bare git repository is made; must be empty or absent.
            private: Whether strangers see it.
        """
        with self.lock:
            assert name not in self.repositories, f"{name} is there already"
            self.repositories[name] = HubRepository(self, name, folder, private)
            self.repositories[name].allow(self.operator, "admin")
            if self._app:
                self.repositories[name].allow(self._app.account, "admin")
            self.repositories[name].push(self.operator, "main", {"README.md": f"{name}\n"}, "Initial commit")
            return self.repositories[name]

    # --- faults -----------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """Requests to the API since the last `forget`."""
        return len(self.log)

    def forget(self) -> None:
        """Count anew."""
        with self.lock:
            self.log = []

    def fail(
        self,
        status: int,
        times: int = 1,
        *,
        path: str = "",
        method: str = "",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """The next requests get this instead of an answer.

        Args:
            status: HTTP status.
            times: How many of them.
            path: Only those whose path and query have this in them.
            method: Only this one.
            headers: More headers.
            body: Anything; None: what GitHub says with that status.
        """
        self.faults.add(status, times, path, method, headers or {}, body)

    def limit_rate(self, remaining: int = 0, reset_in: int = 3600) -> None:
        """The primary limit: so many requests may still be made, and then 403 until it is reset."""
        self.faults.limit(remaining, datetime.now(UTC) + timedelta(seconds=reset_in))

    def limit_secondary(self, retry_after: int | None = 60, status: int = 429) -> None:
        """The secondary limit: every request is refused, with or without Retry-After."""
        self.faults.retry_after, self.faults.secondary = retry_after, status

    def unlimit(self) -> None:
        """No limit that can be met."""
        self.faults.unlimit()

    def go_down(self) -> None:
        """Connections end without an answer."""
        self.faults.down = True

    def come_up(self) -> None:
        """Answers again."""
        self.faults.down = False

    # --- for its own parts ------------------------------------------------------------------------

    def new_id(self) -> int:
        """A number that was never given."""
        return next(self._ids)

    def now(self) -> datetime:
        """The moment of one deed; the next one is a second later."""
        with self.lock:
            self._now += timedelta(seconds=1)
            return self._now

    @contextmanager
    def acting(self) -> Iterator[None]:
        """One deed at a time; webhooks of it go out behind it, when nobody waits for the lock."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            later, self._later = (self._later, []) if not self._depth else ([], self._later)
        for deliver in later:
            deliver()

    def later(self, deliver: Callable[[], None]) -> None:
        """Do this when the deed is done."""
        self._later.append(deliver)
