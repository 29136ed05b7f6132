"""What GitHub is not asked: answers that did not change, and anything at all while a rate limit is in force."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Reason, Transient
from reconciler.github import Api, NotThere, Refused
from reconciler.github.outage import Outage
from reconciler.github.recall import Recall, Remembered
from tests.adapters.githubs import (
    TOKEN,
    VARIABLE,
    Connect,
    Later,
    Serve,
    always,
    client,
    error,
    in_turn,
    says,
    unavailable,
)
from tests.adapters.servers import Request, ScriptedServer, answer


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedServer(script))


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def make(tmp_path: Path, clock: Later, monkeypatch: pytest.MonkeyPatch) -> Connect:
    monkeypatch.setenv(VARIABLE, TOKEN)

    def make(url: str, options: dict[str, Any] | None = None, **bounds: Any) -> Api:
        return client(url, tmp_path, options or {}, clock, [], bounds)

    return make


# --- conditional requests -----------------------------------------------------------------------

UNCHANGED = answer("304 Not Modified")
TAG = 'W/"5e88"'


def tagged(value: object, tag: str = TAG) -> Any:
    """A script that answers with the value, or with 304 to who has it."""

    def script(request: Request) -> Iterator[bytes]:
        yield UNCHANGED if request.headers.get("if-none-match") == tag else says(value, ETag=tag)

    return script


def asked(server: ScriptedServer) -> list[str | None]:
    return [request.headers.get("if-none-match") for request in server.requests]


def test_an_answer_that_did_not_change_is_recalled(serve: Serve, make: Connect) -> None:
    server = serve(tagged({"names": ["a"]}))
    api = make(server.url)
    first = api.get("/x")
    first["names"].append("b")  # whoever got it may do with it what they like
    assert api.get("/x") == {"names": ["a"]}
    assert asked(server) == [None, TAG]


def test_an_answer_that_changed_takes_the_place_of_the_old_one(serve: Serve, make: Connect) -> None:
    server = serve(in_turn(says(1, ETag='"a"'), says(2, ETag='"b"'), UNCHANGED, says(3), says(4)))
    api = make(server.url)
    assert [api.get("/x") for _ in range(5)] == [1, 2, 2, 3, 4]
    assert asked(server) == [None, '"a"', '"b"', '"b"', None]


def test_an_answer_is_recalled_for_its_own_address_only(serve: Serve, make: Connect) -> None:
    server = serve(always(says([1], ETag=TAG)))
    api = make(server.url)
    for path, params in (("/x", {}), ("/y", {}), ("/x", {"a": 1})):
        api.get(path, params)
    assert asked(server) == [None] * 3


def test_what_one_credential_saw_is_never_shown_to_another(
    serve: Serve, make: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(tagged([1]))
    api = make(server.url)
    api.get("/x")
    monkeypatch.setenv(VARIABLE, "another")
    api.get("/x")
    monkeypatch.setenv(VARIABLE, TOKEN)
    api.get("/x")
    assert asked(server) == [None, None, TAG]


def test_a_write_is_never_conditional(serve: Serve, make: Connect) -> None:
    server = serve(always(says([1], ETag=TAG)))
    api = make(server.url)
    api.get("/x")
    api.post("/x", {})
    api.post("/y", {})
    api.get("/y")  # nor is what a write answered ever taken for what is there
    assert asked(server) == [None] * 4


def test_an_error_is_not_remembered(serve: Serve, make: Connect) -> None:
    server = serve(in_turn(error("404 Not Found", ETag=TAG), says([1])))
    api = make(server.url)
    with pytest.raises(Exception, match="not there"):
        api.get("/x")
    assert api.get("/x") == [1]
    assert asked(server) == [None, None]


def test_pages_that_did_not_change_still_lead_to_the_next(serve: Serve, make: Connect) -> None:
    def script(request: Request) -> Iterator[bytes]:
        second = "page=2" in request.path
        tag = f'"{int(second)}"'
        more = {} if second else {"Link": f'<{server.url}/x?page=2>; rel="next"'}
        known = request.headers.get("if-none-match") == tag
        yield UNCHANGED if known else says([2 if second else 1], ETag=tag, **more)

    server = serve(script)
    api = make(server.url)
    assert api.pages("/x") == api.pages("/x") == [1, 2]
    assert asked(server) == [None, None, '"0"', '"1"']


def test_the_next_page_that_an_unchanged_one_names_now_is_read(serve: Serve, make: Connect) -> None:
    server: list[ScriptedServer] = []

    def script(request: Request) -> Iterator[bytes]:
        if "page=2" in request.path:
            yield says([2])
        elif "if-none-match" in request.headers:
            yield answer("304 Not Modified", Link=f'<{server[0].url}/x?page=2>; rel="next"')
        else:
            yield says([1], ETag=TAG)

    server.append(serve(script))
    api = make(server[0].url)
    assert api.pages("/x") == [1]
    assert api.pages("/x") == [1, 2]


def test_the_101st_entry_is_found_though_the_first_page_did_not_change(serve: Serve, make: Connect) -> None:
    entries = list(range(100))

    def script(request: Request) -> Iterator[bytes]:
        if "page=2" in request.path:
            yield says(entries[100:])
            return
        more = {"Link": f'<{server.url}/x?page=2>; rel="next"'} if len(entries) > 100 else {}
        # GitHub's tag is of the body; the 304 has no Link.
        yield UNCHANGED if "if-none-match" in request.headers else says(entries[:100], ETag=TAG, **more)

    server = serve(script)
    api = make(server.url)
    assert len(api.pages("/x")) == 100
    entries.append(100)
    assert len(api.pages("/x")) == 101


def test_what_is_recalled_is_bounded_in_count_and_bytes() -> None:
    recall = Recall(answers=2, size=10, largest=6)

    def held() -> str:
        return "".join(url for url in "abcd" if recall.of("t", url))

    for url in "abc":
        recall.learn("t", url, Remembered("1", b"x", None))
    assert held() == "bc"
    recall.of("t", "b")
    recall.learn("t", "d", Remembered("1", b"x" * 5, None))
    assert held() == "bd", "the least recently used goes first"
    recall.learn("t", "b", Remembered("1", b"x" * 6, None))
    assert held() == "b", "the older of two that are too much together goes"
    recall.learn("t", "b", Remembered("2", b"x" * 7, None))
    assert held() == "", "one that is too large is not kept, and neither is what it replaces"
    for _ in range(20):
        recall.learn("t", "a", Remembered("1", b"x" * 6, None))
    assert held() == "a", "what is replaced is not counted any more"


# --- rate limits --------------------------------------------------------------------------------


def reset_in(seconds: float, clock: Later | None = None) -> dict[str, str]:
    now = clock.now() if clock else datetime.now(UTC)
    return {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(now.timestamp() + seconds))}


LIMITED: dict[str, tuple[Callable[[], bytes], int]] = {  # made when asked for: a reset is at a time of day
    "the primary limit as 403": (lambda: error("403 Forbidden", "API rate limit exceeded", **reset_in(600)), 600),
    "the primary limit as 429": (lambda: error("429 Too Many", "API rate limit exceeded", **reset_in(600)), 600),
    "the last answer of the hour": (lambda: says([], **reset_in(600)), 600),
    "a wait in seconds as 403": (lambda: error("403 Forbidden", Retry_After="90"), 90),
    "a wait in seconds as 429": (lambda: error("429 Too Many", Retry_After="90"), 90),
    "a wait beside a longer reset": (lambda: error("403 Forbidden", Retry_After="90", **reset_in(600)), 90),
    "an outage with a wait": (lambda: error("503 Unavailable", Retry_After="90"), 90),
    "a secondary limit by its words": (lambda: error("403 Forbidden", "You have exceeded a secondary rate limit."), 60),
    "abuse by its words": (lambda: error("403 Forbidden", "You have triggered an abuse detection mechanism."), 60),
    "429 without a word": (lambda: error("429 Too Many", "?"), 60),
    "429 that is not GitHub's": (
        lambda: answer("429 Too Many", b"<html>", Content_Type="text/html", Retry_After="90"),
        90,
    ),
    "a wait until the end of time": (lambda: error("429 Too Many", Retry_After="999999999"), 3600),
    "a reset at the end of time": (
        lambda: error("403 Forbidden", **{**reset_in(1), "X_RateLimit_Reset": "99999999999"}),
        3600,
    ),
    "a reset in the past": (lambda: error("429 Too Many", "rate limit", **reset_in(-60)), 60),
}


@pytest.mark.parametrize(("answered", "seconds"), LIMITED.values(), ids=LIMITED.keys())
def test_nothing_is_asked_while_a_limit_is_in_force(
    answered: Callable[[], bytes], seconds: int, serve: Serve, make: Connect, clock: Later
) -> None:
    data = answered()
    server = serve(in_turn(data, says([1])))
    api = make(server.url)
    if data.startswith(b"HTTP/1.1 200"):
        api.get("/x")
    else:
        with pytest.raises(Transient):
            api.get("/x")
    clock.ahead = timedelta(seconds=seconds - 40)
    for call in (lambda: api.get("/y"), lambda: api.post("/x", {}), lambda: api.download("/x", 0).__enter__()):
        with pytest.raises(Transient, match=r"limit is used up; it is asked again after 20\d\d-") as caught:
            call()
        assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert (len(server.requests), api.requests) == (1, 1)
    clock.ahead = timedelta(seconds=seconds + 2)
    assert api.get("/x") == [1]


def test_a_limit_names_its_end(serve: Serve, make: Connect, clock: Later) -> None:
    end = clock.now() + timedelta(seconds=600)
    api = make(serve(always(error("403 No", **reset_in(600)))).url)
    with pytest.raises(Transient) as caught:
        api.get("/x")
    told = datetime.strptime(str(caught.value).rpartition("after ")[2], "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(told - end) < timedelta(seconds=5)


def test_a_write_that_a_limit_stopped_is_not_refused_for_good(serve: Serve, make: Connect) -> None:
    with pytest.raises(Transient, match="rate limit is used up"):
        make(serve(always(error("403 Forbidden", "secondary rate limit"))).url).post("/x", {})


@pytest.mark.parametrize("ahead", [-7200, 7200], ids=["slow", "fast"])
def test_the_end_of_a_limit_is_by_github_s_clock(ahead: int, serve: Serve, make: Connect, clock: Later) -> None:
    clock.ahead = timedelta(seconds=ahead)
    date = format_datetime(datetime.now(UTC), usegmt=True)
    server = serve(in_turn(says([], Date=date, **reset_in(600)), says([1])))
    api = make(server.url)
    api.get("/x")
    clock.ahead += timedelta(seconds=560)
    with pytest.raises(Transient):
        api.get("/x")
    clock.ahead += timedelta(seconds=42)
    assert api.get("/x") == [1]


def test_the_wait_doubles_while_it_is_not_enough(serve: Serve, make: Connect, clock: Later) -> None:
    slow_down = error("403 Forbidden", "secondary rate limit")
    server = serve(in_turn(slow_down, slow_down, slow_down, says([1]), slow_down, says([2])))
    api = make(server.url)

    def wait(seconds: int) -> None:
        before = len(server.requests)
        with pytest.raises(Transient):
            api.get("/x")
        clock.ahead += timedelta(seconds=seconds - 10)
        with pytest.raises(Transient):
            api.get("/x")
        assert len(server.requests) == before + 1
        clock.ahead += timedelta(seconds=11)

    for seconds in (60, 120, 240):
        wait(seconds)
    assert api.get("/x") == [1]
    wait(60)
    assert api.get("/x") == [2]


@pytest.mark.parametrize(
    "headers",
    [
        {"X_RateLimit_Remaining": "1", "X_RateLimit_Reset": "99999999999"},
        {"X_RateLimit_Remaining": "0"},
        {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "soon"},
        {"Retry_After": "60"},
    ],
    ids=["one left", "no reset", "a reset that is no number", "a wait that nobody needs"],
)
def test_what_is_no_limit_stops_nothing(headers: dict[str, str], serve: Serve, make: Connect) -> None:
    api = make(serve(always(says([1], **headers))).url)
    assert api.get("/x") == api.get("/x") == [1]


def test_a_missing_permission_is_no_limit(serve: Serve, make: Connect) -> None:
    server = serve(always(error("403 Forbidden", "Resource not accessible", X_RateLimit_Remaining="4999")))
    api = make(server.url)
    for _ in range(2):
        with pytest.raises(Refused):
            api.post("/x", {})
    assert len(server.requests) == 2


# --- a GitHub that gives no answer --------------------------------------------------------------

DOWN = error("502 Bad Gateway")


def calls(api: Api, times: int) -> int:
    """How many of so many questions got an answer."""
    answered = 0
    for _ in range(times):
        with suppress(Transient):
            api.get("/x")
            answered += 1
    return answered


def test_while_nothing_answers_one_request_a_second_finds_out(serve: Serve, make: Connect, clock: Later) -> None:
    server = serve(always(DOWN))
    api = make(server.url)
    assert calls(api, 50) == 0
    assert len(server.requests) == 5
    for second in range(1, 4):
        clock.ahead += timedelta(seconds=1)
        assert calls(api, 50) == 0
        assert len(server.requests) == 5 + second
    with pytest.raises(Transient, match="GitHub gave no answer to the last 8 requests"):
        api.post("/x", {})


def test_whoever_finds_it_back_opens_the_way_for_all(serve: Serve, make: Connect, clock: Later) -> None:
    api = make(serve(in_turn(*[DOWN] * 6, says({}))).url)
    assert calls(api, 6) == 0
    clock.ahead += timedelta(seconds=1)
    assert calls(api, 1) == 0
    clock.ahead += timedelta(seconds=1)
    assert calls(api, 50) == 50


def test_a_few_failures_between_answers_are_no_outage(serve: Serve, make: Connect) -> None:
    api = make(serve(in_turn(*[DOWN] * 4, says({}), *[DOWN] * 4, says({}))).url)
    assert calls(api, 20) == 12


@pytest.mark.parametrize("said", ["404 Not Found", "403 Forbidden", "401 Unauthorized"])
def test_a_no_is_an_answer(said: str, serve: Serve, make: Connect) -> None:
    server = serve(always(error(said)))
    api = make(server.url)
    for _ in range(10):
        with suppress(Transient, NotThere):
            api.get("/x")
    assert len(server.requests) == 10


def test_a_server_that_is_not_there_is_an_outage_too(make: Connect, clock: Later) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    api = make(url)
    assert calls(api, 50) == 0
    assert api.requests == 5
    clock.ahead += timedelta(seconds=1)
    assert calls(api, 50) == 0
    assert api.requests == 6


def test_while_one_finds_out_nobody_else_is_let_through(clock: Later) -> None:
    outage = Outage(clock, unavailable)
    for _ in range(5):
        outage.learn(answered=False)
    clock.ahead += timedelta(seconds=1)
    outage.check()
    with pytest.raises(Transient, match="the last 5 requests"):
        outage.check()
