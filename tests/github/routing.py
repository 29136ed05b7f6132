"""Which function answers which path, and what it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.github.state import Account, Json, Pull

if TYPE_CHECKING:
    from tests.github.hub import Hub
    from tests.github.repository import HubRepository

_LARGEST_PAGE = 100


class Problem(Exception):
    """An answer that is not the wished one, in GitHub's form."""

    def __init__(self, status: int, message: str, *details: str, field: str = "", resource: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if status == 422 and details:
            self.body["errors"] = [
                {"resource": resource, "code": "custom", "field": field, "message": detail} for detail in details
            ]


@dataclass
class Request:
    """One request, split up."""

    hub: Hub
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    account: Account | None = None
    part: dict[str, str] = field(default_factory=dict)
    """Parts of the path by their name in the route."""

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def who(self) -> Account:
        """Whose token it is."""
        assert self.account
        return self.account

    @property
    def repository(self) -> HubRepository:
        """The one that the path names."""
        wanted = f"{self.part['owner']}/{self.part['repo']}".lower()
        for name, repository in self.hub.repositories.items():
            if name.lower() == wanted and repository.permission(self.who) != "none":
                return repository
        raise Problem(404, "Not Found")

    @property
    def pull(self) -> Pull:
        """The one that the path names."""
        number = int(self.part["number"])
        if not 1 <= number <= len(self.repository.pulls):
            raise Problem(404, "Not Found")
        return self.repository.pulls[number - 1]

    def json(self) -> Json:
        """What was sent."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            raise Problem(400, "Problems parsing JSON") from None
        if not isinstance(found, dict):
            raise Problem(400, "Body should be a JSON object")
        return found


@dataclass
class Answer:
    """Anything but a page."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """A list, of which one page is answered. `key`: the list is in an object, beside how many there are in all."""

    items: Sequence[Any]
    render: Callable[[Any], Json]
    key: str = ""
    cursor: bool = False
    """Pages by cursor, as `activity` has them, not by number."""

    def answer(self, request: Request) -> Answer:
        """The page that was asked for, with links to the others."""
        size = max(1, min(_LARGEST_PAGE, int(request.query.get("per_page", "30"))))
        start = self._start(request, size)
        rendered = [self.render(item) for item in self.items[start : start + size]]
        body = {"total_count": len(self.items), self.key: rendered} if self.key else rendered
        return Answer(body, headers=self._links(request, start, size))

    def _start(self, request: Request, size: int) -> int:
        if self.cursor:
            after = request.query.get("after", "")
            return int(after.removeprefix("Y3Vyc29y")) if after else 0
        return (max(1, int(request.query.get("page", "1"))) - 1) * size

    def _links(self, request: Request, start: int, size: int) -> dict[str, str]:
        last = max(0, (len(self.items) - 1) // size * size)
        links = {"next": start + size, "last": last} if start < last else {}
        links |= {"prev": start - size, "first": 0} if start and not self.cursor else {}
        told = [f'<{self._url(request, to, size)}>; rel="{rel}"' for rel, to in links.items()]
        return {"Link": ", ".join(told)} if told else {}

    def _url(self, request: Request, start: int, size: int) -> str:
        name, value = ("after", f"Y3Vyc29y{start}") if self.cursor else ("page", str(start // size + 1))
        kept = [f"{key}={word}" for key, word in request.query.items() if key != name]
        return f"{request.hub.public_url}{request.path}?{'&'.join([*kept, f'{name}={value}'])}"


Handler = Callable[[Request], "Answer | Page | Json"]
_ROUTES: list[tuple[str, list[str], Handler]] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """This function answers that; `{name}` is one part of the path."""

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, path.strip("/").split("/"), handler))
        return handler

    return register


def find(request: Request) -> Handler:
    """The function for a request, whose parts are then known to it.

    Raises:
        Problem: None answers that.
    """
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    for method, pattern, handler in _ROUTES:
        if method == request.method and len(pattern) == len(parts):
            pairs = list(zip(pattern, parts, strict=True))
            if all(one.startswith("{") or one == other for one, other in pairs):
                request.part = {one.strip("{}"): other for one, other in pairs if one.startswith("{")}
                return handler
    raise Problem(404, "Not Found")
