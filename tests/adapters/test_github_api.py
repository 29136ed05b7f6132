"""GitHub's API behind servers that are slow, wrong or hostile: what the client makes of each answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.errors import Reason, Transient
from reconciler.github import Api, GitHubOptions, NotThere, Refused
from reconciler.github.answers import GitHubAnswer, Instant, read
from tests.adapters.githubs import (
    TOKEN,
    VARIABLE,
    Connect,
    Serve,
    always,
    client,
    error,
    in_turn,
    redirect,
    says,
    unavailable,
)
from tests.adapters.servers import RESET, Request, ScriptedServer, answer

PULLS = "/repos/acme/deploy/pulls"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedServer(script))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    monkeypatch.setenv(VARIABLE, TOKEN)

    def make(url: str, options: dict[str, Any] | None = None, hosts: tuple[str, ...] = (), **bounds: Any) -> Api:
        return client(url, tmp_path, options or {}, None, list(hosts), bounds)

    return make


# --- requests -----------------------------------------------------------------------------------


def test_a_request_is_what_github_documents(serve: Serve, make: Connect) -> None:
    server = serve(always(says({"number": 12})))
    api = make(server.url)
    assert api.requests == 0
    assert api.get(api.of_repository("/pulls/12"), {"state": "open"}) == {"number": 12}
    (request,) = server.requests
    assert request.line == "GET /repos/acme/deploy/pulls/12?state=open HTTP/1.1"
    assert request.headers["accept"] == "application/vnd.github+json"
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["user-agent"].startswith("reconciler/")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert (api.requests, api.repository) == (1, "acme/deploy")


@pytest.mark.parametrize("method", ["post", "patch", "put", "delete"])
def test_a_write_sends_its_body_once(method: str, serve: Serve, make: Connect) -> None:
    server = serve(always(says({"id": 1}, "201 Created") if method != "delete" else answer("204 No Content")))
    api = make(server.url)
    if method == "delete":
        api.delete("/x")
    else:
        assert getattr(api, method)("/x", {"body": "Grüße"}) == {"id": 1}
        assert json.loads(server.requests[0].body) == {"body": "Grüße"}
        assert server.requests[0].headers["content-type"] == "application/json"
    assert [request.method for request in server.requests] == [method.upper()]


def test_the_api_of_github_enterprise_is_below_a_path(serve: Serve, make: Connect) -> None:
    server = serve(always(says([])))
    assert make(server.url + "/api/v3/").get("/user") == []
    assert server.requests[0].path == "/api/v3/user"


def test_foreign_names_stay_within_their_place(serve: Serve, make: Connect) -> None:
    server = serve(always(says([])))
    api = make(server.url)
    api.get(api.of_repository("/commits/a?b#c%2F d\\é\udce9"))
    api.get("/users/a?b#c é")
    assert [request.path for request in server.requests] == [
        "/repos/acme/deploy/commits/a%3Fb%23c%252F%20d%5C%C3%A9%3F",
        "/users/a%3Fb%23c%20%C3%A9",
    ]


@pytest.mark.parametrize("path", ["/repos/acme/deploy/../../user", "/users/..", "/x/%2e%2E/y", "/x/./y"])
def test_a_path_that_climbs_is_asked_from_nobody(path: str, serve: Serve, make: Connect) -> None:
    server = serve(always(says([])))
    with pytest.raises(NotThere):
        make(server.url).get(path)
    assert server.requests == []


def test_writes_are_made_one_at_a_time(serve: Serve, make: Connect) -> None:
    inside, most, lock, begun = [0], [0], threading.Lock(), threading.Event()

    def script(_: Request) -> Iterator[bytes]:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        begun.wait(0.05)  # long enough for the others to come, if nothing holds them
        with lock:
            inside[0] -= 1
        yield says({}, "201 Created")

    api = make(serve(script).url)
    threads = [threading.Thread(target=api.post, args=("/x", {})) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], api.requests) == (1, 4)


# --- what an answer means -----------------------------------------------------------------------


@pytest.mark.parametrize(("status", "gone"), [("404 Not Found", False), ("410 Gone", True)], ids=["404", "410"])
def test_what_is_not_there_is_told_as_such_by_every_call(status: str, gone: bool, serve: Serve, make: Connect) -> None:
    api = make(serve(always(error(status))).url)
    calls: list[Callable[[], object]] = [
        lambda: api.get("/x"),
        lambda: api.pages("/x"),
        lambda: api.post("/x", {}),
        lambda: api.patch("/x", {}),
        lambda: api.delete("/x"),
        lambda: api.download("/x", 0).__enter__(),
    ]
    for call in calls:
        with pytest.raises(NotThere) as caught:
            call()
        assert (caught.value.path, caught.value.gone) == ("/x", gone)


NO_ANSWER: dict[str, tuple[bytes, str]] = {
    "401": (error("401 Unauthorized", "Bad credentials"), "answers 401: Bad credentials"),
    "403": (error("403 Forbidden", "Resource not accessible"), "answers 403: Resource not accessible"),
    "409": (error("409 Conflict", "Git Repository is empty."), "answers 409: Git Repository is empty."),
    "422": (error("422 Unprocessable", "No commit found"), "answers 422: No commit found"),
    "500": (error("500 Oops"), "answers 500"),
    "502 with a page": (answer("502 Bad", b"<html>s3cret", Content_Type="text/html"), "answers 502"),
    "503": (answer("503 Unavailable"), "answers 503"),
    "404 that is not GitHub's": (answer("404 Not Found", b"<html>", Content_Type="text/html"), "not as GitHub does"),
    "404 with a list": (says([], "404 Not Found"), "not as GitHub does"),
    "403 that is not GitHub's": (answer("403 Forbidden", b"proxy says no"), "not as GitHub does"),
    "206": (says([], "206 Partial Content"), "answers 206"),
    "304 that nobody asked for": (answer("304 Not Modified"), "answers 304"),
    "300": (answer("300 Choices"), "answers 300"),
    "a page": (answer("200 OK", b"<html>", Content_Type="text/html; charset=utf-8"), "an HTML page instead of JSON"),
    "no type": (answer("200 OK", b"[]"), "something without a type instead of JSON"),
    "another type": (answer("200 OK", b"[]", Content_Type="text/plain"), "'text/plain' instead of JSON"),
    "compressed": (says([], Content_Encoding="gzip"), "compressed"),
    "broken JSON": (answer("200 OK", b'{"s3cret": ', Content_Type="application/json"), "no JSON: line 1, column"),
    "nothing": (answer("200 OK", Content_Type="application/json"), "no JSON"),
    "a key twice": (answer("200 OK", b'{"s3cret":1,"s3cret":2}', Content_Type="application/json"), "stands twice"),
    "NaN": (answer("200 OK", b"[NaN]", Content_Type="application/json"), "NaN"),
    "not UTF-8": (answer("200 OK", b'["\xff"]', Content_Type="application/json"), "not UTF-8 at byte 2"),
    "deep": (answer("200 OK", b"[" * 60_000, Content_Type="application/json"), "nested too deep"),
    "a long number": (answer("200 OK", b"[" + b"1" * 5_000 + b"]", Content_Type="application/json"), "many digits"),
    "larger than allowed": (says("x" * 70_000), "more than the allowed 65536 bytes"),
    "shorter than it says": (says([], Content_Length="99"), "broke off"),
    "no HTTP": (b"SSH-2.0-x\r\n", "not HTTP"),
    "a reset": (RESET, "the connection failed"),
    "the end": (b"", "the connection failed|broke off"),
}


@pytest.mark.parametrize(("data", "told"), NO_ANSWER.values(), ids=NO_ANSWER.keys())
def test_a_read_that_gives_nothing_is_tried_again_later(data: bytes, told: str, serve: Serve, make: Connect) -> None:
    api = make(serve(always(data)).url, api_bytes=65536)
    with pytest.raises(Transient, match=told) as caught:
        api.get("/x")
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert "s3cret" not in caught.value.message
    assert api.requests == 1


REFUSED = {
    "401": (error("401 Unauthorized", "Bad credentials"), 401, "Bad credentials"),
    "403": (error("403 Forbidden", "Resource not\naccessible\x1b[2J"), 403, "Resource not accessible [2J"),
    "409": (error("409 Conflict", "c"), 409, "c"),
    "422": (
        says(
            {
                "message": "Validation Failed",
                "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}, {"message": "m"}, "t", 7],
            },
            "422 Unprocessable",
        ),
        422,
        "Validation Failed: PullRequest.head invalid, m, t",
    ),
    "without a message": (says({"errors": "?", "message": 1}, "400 Bad"), 400, ""),
    "with a long message": (error("400 Bad", "x" * 9_000), 400, "x" * 297 + "..."),
    "that shows our token": (error("400 Bad", f"bad {TOKEN}!"), 400, "bad ***!"),
}


@pytest.mark.parametrize(("data", "status", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("method", ["post", "patch", "put"])
def test_a_write_that_github_refuses_is_told_with_its_words(
    data: bytes, status: int, message: str, method: str, serve: Serve, make: Connect
) -> None:
    server = serve(always(data))
    with pytest.raises(Refused) as caught:
        getattr(make(server.url), method)("/x", {})
    assert (caught.value.status, caught.value.message) == (status, message)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        error("408 Timeout"),
        error("500 Oops"),
        answer("403 Forbidden", b"<html>", Content_Type="text/html"),
        redirect("/y", "301 Moved"),
        redirect("/y", "307 Temporary"),
        says({}, "206 Partial"),
        RESET,
    ],
    ids=["408", "500", "a proxy's 403", "301", "307", "206", "a reset"],
)
def test_a_write_without_a_clear_answer_is_not_repeated(data: bytes, serve: Serve, make: Connect) -> None:
    server = serve(always(data))
    with pytest.raises(Transient):
        make(server.url).post("/x", {})
    assert len(server.requests) == 1


HINTS = {
    "the permission": ({"X_Accepted_GitHub_Permissions": "pull_requests=write; issues=read"}, "pull_requests=write"),
    "single sign-on": ({"X_GitHub_SSO": "required; url=https://github.com/s3cret"}, "single sign-on"),
    "neither": ({}, "give the token or the App the permission"),
}


@pytest.mark.parametrize(("headers", "told"), HINTS.values(), ids=HINTS.keys())
def test_a_missing_permission_is_named(headers: dict[str, str], told: str, serve: Serve, make: Connect) -> None:
    api = make(serve(always(error("403 Forbidden", **headers))).url)
    with pytest.raises(Transient) as reading:
        api.get("/x")
    with pytest.raises(Refused) as writing:
        api.post("/x", {})
    assert told in reading.value.hint
    assert told in writing.value.hint
    assert "s3cret" not in reading.value.hint


SLOW = {"connect_seconds": 0.2, "read_seconds": 0.3}
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [(JSON_HEAD + b"\r\n[", b" "), (JSON_HEAD + b"X: ", b"y"), (b"HTTP/1.1 403 No\r\n\r\n", b" ")],
    ids=["in the body", "in the head", "in an error"],
)
def test_an_answer_without_an_end_ends_at_the_deadline(head: bytes, piece: bytes, serve: Serve, make: Connect) -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield head
        while not server.stopped.wait(0.02):
            yield piece

    server = serve(script)
    with pytest.raises(Transient):
        make(server.url, **SLOW).get("/x")


def test_a_silent_server_is_left(serve: Serve, make: Connect) -> None:
    def script(_: Request) -> Iterator[bytes]:
        server.stopped.wait(10)
        yield b""

    server = serve(script)
    with pytest.raises(Transient, match=r"silent|not done"):
        make(server.url, **SLOW).get("/x")


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_renamed_repository_is_found(status: str, serve: Serve, make: Connect) -> None:
    server = serve(in_turn(redirect("/repositories/7/pulls", status), says([1])))
    assert make(server.url).pages(PULLS) == [1]
    assert server.requests[1].path == "/repositories/7/pulls"
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_to_another_origin_is_not_followed(status: str, serve: Serve, make: Connect) -> None:
    other = serve(always(says([])))
    server = serve(always(redirect(f"{other.url}/x?sig=s3cret", status)))
    with pytest.raises(Transient) as caught:
        make(server.url).get("/x")
    assert other.requests == []
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x",
        "https://127.0.0.1/x",
        "http://127.0.0.1@evil.example/x",
        "//evil.example/x",
        "file:///etc/passwd",
        "/a b",
        "",
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_not_followed(location: str, serve: Serve, make: Connect) -> None:
    server = serve(always(redirect(location)))
    with pytest.raises(Transient):
        make(server.url).get("/x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found"])
def test_the_token_does_not_even_go_to_another_port_of_the_same_host(status: str, serve: Serve, make: Connect) -> None:
    server = serve(always(redirect("https://127.0.0.1/x", status)))
    with pytest.raises(Transient, match="nothing is sent there"):
        make(server.url).get("/x")


def test_a_loop_of_redirects_ends_at_its_bound(serve: Serve, make: Connect) -> None:
    server = serve(always(redirect("/again")))
    with pytest.raises(Transient, match="still redirected after 3 redirects"):
        make(server.url, redirects=3).get("/x")
    assert len(server.requests) == 4


# --- lists --------------------------------------------------------------------------------------


def listing(*pages: list[Any], link: str = '<{url}{path}?page={page}>; rel="next", <{url}/last>; rel="last"') -> Any:
    """A script that serves pages, each but the last with a link to the next one."""
    server: list[ScriptedServer] = []

    def script(request: Request) -> Iterator[bytes]:
        path, _, query = request.path.partition("?")
        page = int(query.partition("page=")[2] or 1) if query.startswith("page=") else 1
        more = {"Link": link.format(url=server[0].url, path=path, page=page + 1)} if page < len(pages) else {}
        yield says(pages[page - 1], **more)

    return script, server


def test_all_pages_of_a_list_are_read(serve: Serve, make: Connect) -> None:
    script, server = listing([1, 2], [3], [4])
    server.append(serve(script))
    assert make(server[0].url).pages(PULLS, {"state": "all"}) == [1, 2, 3, 4]
    assert server[0].requests[0].path == f"{PULLS}?per_page=100&state=all"


def test_a_list_within_an_object_is_read_by_its_key(serve: Serve, make: Connect) -> None:
    server = serve(always(says({"total_count": 1, "artifacts": [{"id": 1}]})))
    assert make(server.url).pages("/x", items="artifacts") == [{"id": 1}]


@pytest.mark.parametrize(("value", "items"), [({}, None), ({"a": 1}, "a"), ([], "a"), ("x", None), (None, None)])
def test_what_is_no_list_is_no_answer(value: object, items: str | None, serve: Serve, make: Connect) -> None:
    with pytest.raises(Transient, match="something else than a list"):
        make(serve(always(says(value))).url).pages("/x", items=items)


def test_a_list_that_does_not_end_is_refused_whole(serve: Serve, make: Connect) -> None:
    script, server = listing(*([[1]] * 50))
    server.append(serve(script))
    with pytest.raises(Transient, match="more than the allowed 5 pages"):
        make(server[0].url, api_pages=5).pages("/x")
    assert len(server[0].requests) == 5


def test_a_list_of_just_as_many_pages_as_are_allowed_is_read(serve: Serve, make: Connect) -> None:
    script, server = listing([1], [2])
    server.append(serve(script))
    assert make(server[0].url, api_pages=2).pages("/x") == [1, 2]


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ('<{other}/x?page=2>; rel="next"', "which is not GitHub's API"),
        ('<http://127.0.0.1@evil.example/x>; rel="next"', "which is not GitHub's API"),
        ('<ftp://x/>; rel="next"', "which is not GitHub's API"),
        ('<{url}/x?per_page=100>; rel="next"', "which was there before"),
        ('<{url}/a b>; rel="next"', "a Link header that can't be read"),
        ('<{url}/x>; title="a, b"; rel="next"', "a Link header that can't be read"),
        ("<{url}/x; rel=next", "a Link header that can't be read"),
    ],
    ids=["another port", "user information", "ftp", "a loop", "a space", "an odd title", "an open bracket"],
)
def test_a_next_page_that_can_not_be_trusted_is_no_end_of_the_list(
    link: str, told: str, serve: Serve, make: Connect
) -> None:
    other = serve(always(says([])))
    server: list[ScriptedServer] = []

    def script(_: Request) -> Iterator[bytes]:
        yield says([1], Link=link.format(url=server[0].url, other=other.url))

    server.append(serve(script))
    with pytest.raises(Transient, match=told):
        make(server[0].url).pages("/x")
    assert other.requests == []


@pytest.mark.parametrize(
    "link",
    [
        '<https://x/repos/acme/next?page=1>; rel="prev", <https://x/next>; rel="last"',
        '<https://x/y?rel=next>; rel="last"',
        "",
        '<x>; rel="nextish"',
    ],
    ids=["names with next in them", "a query like a relation", "no header", "a word that begins alike"],
)
def test_a_last_page_is_one_without_a_next(link: str, serve: Serve, make: Connect) -> None:
    assert make(serve(always(says([1], Link=link))).url).pages("/x") == [1]


# --- options ------------------------------------------------------------------------------------

APP = {"id": 7, "installation": 9, "key_env": "KEY"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"token_env": "T", "token_file": "/t"},
        {"token_env": "T", "app": APP},
        {"token_env": TOKEN},
        {"token": TOKEN},
        {"app": {**APP, "key_file": "/k"}},
        {"app": {"id": 7, "installation": 9}},
        {"app": {**APP, "id": True}},
        {"app": {**APP, "installation": "9"}},
        {"token_env": "T", "url": "http://github.example/api/v3"},
        {"token_env": "T", "url": f"https://me:{TOKEN}@github.example"},
        {"token_env": "T", "url": f"https://github.example/?x={TOKEN}"},
        {"token_env": "T", "url": "github.example"},
        {"token_env": "T", "repository": "acme"},
        {"token_env": "T", "repository": "acme/.."},
        {"token_env": "T", "repository": "acme/deploy/x"},
        {"token_env": "T", "repository": "acme/deploy\n"},
    ],
    ids=[
        "no credential", "two tokens", "a token and an App", "the token as a variable", "the token itself", "two keys",
        "no key", "a truth as an id", "a text as an installation", "a token over http", "a password in url",
        "a query in url", "no scheme", "no owner", "a repository that climbs", "a path", "a line break",
    ],
)  # fmt: skip
def test_options_that_are_unsafe_are_refused_without_showing_secrets(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        GitHubOptions.model_validate({"repository": "acme/deploy", **options})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "hosts", ["*", "*.com", "*blob.example.com", "a.*.example.com", "*.0.0.1", "https://x", "*.A.b"]
)
def test_storage_is_named_by_hosts(hosts: str, make: Connect) -> None:
    with pytest.raises(ValueError, match=r"host|domain|address"):
        make("https://api.github.com", hosts=(hosts,))


# --- typed reading ------------------------------------------------------------------------------


class _Pull(GitHubAnswer):
    number: int
    merged_at: Instant | None
    labels: tuple[str, ...] = ()


def test_an_answer_is_read_as_its_model() -> None:
    said = {"number": 12, "merged_at": "2026-03-01T13:00:00+01:00", "labels": ["a"], "new": {}}
    pull = read(_Pull, said, unavailable)
    assert (pull.number, pull.labels) == (12, ("a",))
    assert pull.merged_at is not None
    assert pull.merged_at.isoformat() == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"number": "12", "merged_at": None}, "number: Input should be a valid integer"),
        ({"number": True, "merged_at": None}, "number"),
        ({"number": 12}, "merged_at: Field required"),
        ({"number": 12, "merged_at": "2026-03-01T12:00:00"}, "merged_at: not an RFC 3339 time with a zone"),
        ({"number": 12, "merged_at": 1772366400}, "merged_at: not an RFC 3339 time"),
        ({"number": 12, "merged_at": "0001-01-01T00:00:00+14:00"}, "merged_at: a time out of range"),
        ({"number": 12, "merged_at": "2026-02-30T00:00:00Z"}, "merged_at"),
        ({"number": 12, "merged_at": None, "labels": ["a", 1]}, "labels.1"),
        ([], "the answer"),
        (None, "the answer"),
    ],
)
def test_an_answer_of_another_shape_is_no_answer(said: object, told: str) -> None:
    with pytest.raises(Transient, match=told) as caught:
        read(_Pull, said, unavailable)
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
