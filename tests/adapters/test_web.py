"""The listener and its webhooks, over real sockets: nothing unproven is looked at, and what is proven only wakes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Reason, Terminal
from reconciler.web import LOOK, Limits, Places, Tracked, Wake, guard, listener, open_listener
from reconciler.web.waking import Seen, Waker
from tests.adapters.weblistener import (
    HOOK,
    LIMITS,
    SECRET,
    TRACKED,
    Client,
    Journal,
    Web,
    about,
    pull_request,
    push,
    repository,
    sign,
    signed,
)
from tests.github import install
from tests.github.hub import Hub
from tests.site import eventually

Serve = Callable[..., Web]
PUSH = json.dumps(push()).encode()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def serve(limits: Limits = LIMITS, tracked: Tracked = TRACKED) -> Web:
            web = Web(tmp_path / "secret", limits, tracked)
            web.secrets(SECRET)
            return stack.enter_context(web.serving())

        yield serve


@pytest.fixture
def web(serve: Serve) -> Web:
    return serve()


# --- probes -------------------------------------------------------------------------------------


def test_it_is_live_at_once_and_ready_when_the_repository_was_looked_at(web: Web) -> None:
    web.ready = lambda: False
    assert [web.get(path).status for path in ("/livez", "/readyz", "/healthz")] == [200, 503, 503]
    web.ready = lambda: True
    assert [web.get(path).status for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
    assert json.loads(web.get("/healthz").body) == {"live": True, "ready": True}
    assert web.get("/readyz", "HEAD").status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json", "/livez/", "/api/webhook", "/metrics"])
def test_there_is_nothing_else(path: str, web: Web) -> None:
    assert web.get(path).status == 404


@pytest.mark.parametrize("path", ["/livez", "/nothing", HOOK])
def test_every_answer_tells_browsers_to_do_nothing_with_it_and_no_version(path: str, web: Web) -> None:
    headers = web.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "server" not in headers


def test_without_a_secret_there_is_no_webhook() -> None:
    with Web(None).serving() as web:
        assert web.deliver("push", push()).status == 404
        assert web.get("/livez").status == 200


def test_what_goes_wrong_inside_is_told_to_the_log_and_to_nobody_else(web: Web) -> None:
    problem = RuntimeError("a secret thing")

    def broken() -> bool:
        raise problem

    web.ready = broken
    answer = web.get("/readyz")
    assert (answer.status, answer.body) == (500, b'{"status":"error"}')
    assert web.journal.troubles == [problem]
    assert web.get("/livez").status == 200


def test_an_answer_s_body_does_not_wait_for_a_word_on_its_head(web: Web) -> None:
    client = web.client()
    client.head(path="/livez", method="GET")
    assert client.answer("GET").status == 200
    (served,) = web.listener._server.server_state.connections
    taken = served.transport.get_extra_info("socket")
    assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


# --- signatures ---------------------------------------------------------------------------------

GOOD = sign(PUSH)
UNPROVEN = {
    "no signature": [],
    "SHA-1 only": ["X-Hub-Signature: sha1=" + "0" * 40],
    "SHA-1 under the name of SHA-256": ["X-Hub-Signature-256: sha1=" + "0" * 40],
    "an empty one": ["X-Hub-Signature-256: "],
    "the word alone": ["X-Hub-Signature-256: sha256="],
    "without the word": [f"X-Hub-Signature-256: {GOOD}"],
    "cut short": [f"X-Hub-Signature-256: sha256={GOOD[:-2]}"],
    "one digit": [f"X-Hub-Signature-256: sha256={GOOD[0]}"],
    "too long": [f"X-Hub-Signature-256: sha256={GOOD}00"],
    "in capitals": [f"X-Hub-Signature-256: sha256={GOOD.upper()}"],
    "right but for the last digit": [f"X-Hub-Signature-256: sha256={GOOD[:-1]}{'1' if GOOD[-1] == '0' else '0'}"],
    "right in its first half": [f"X-Hub-Signature-256: sha256={GOOD[:32]}{'0' * 32}"],
    "two of them": [f"X-Hub-Signature-256: sha256={GOOD}", f"X-Hub-Signature-256: sha256={'0' * 64}"],
    "of another secret": signed(PUSH, "another secret of this test"),
    "of an empty secret": signed(PUSH, ""),
    "of a weak secret": signed(PUSH, "secret"),
    "of an altered body": signed(PUSH.replace(b"main", b"Main")),
    "of a body with something behind it": signed(PUSH + b" "),
}


@pytest.mark.parametrize("lines", UNPROVEN.values(), ids=UNPROVEN.keys())
def test_an_unproven_delivery_wakes_nobody_and_is_not_told_why(lines: list[str], web: Web) -> None:
    answer = web.post(PUSH, *lines, *about("push"))
    assert (answer.status, answer.body) == (401, b'{"status":"unauthorized"}')
    assert web.woken == []
    assert web.deliver("push", PUSH).said == "woken"  # nothing of it was remembered either


@pytest.mark.parametrize("event", ["push", "ping", "nothing"])
@pytest.mark.parametrize("body", [b"", b"not JSON", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_what_is_not_proven_is_not_even_read(event: str, body: bytes, web: Web) -> None:
    assert web.post(body, *signed(b"something else"), *about(event)).status == 401
    assert web.post(body, *signed(b"something else"), "Content-Type: text/plain").status == 401


def test_the_signature_is_over_the_raw_bytes(web: Web) -> None:
    body = json.dumps(push(title="Grüße, 世界"), ensure_ascii=False, indent=1).encode() + b"\r\n"
    assert web.deliver("push", body).said == "woken"


def test_a_body_in_pieces_is_proven_like_a_whole_one(web: Web) -> None:
    client = web.client()
    client.head(*signed(PUSH), *about("push"), "Transfer-Encoding: chunked")
    for byte in PUSH:
        client.send(b"1\r\n%c\r\n" % byte)
    client.send(b"0\r\n\r\n")
    assert client.answer().said == "woken"


# --- secrets ------------------------------------------------------------------------------------


def test_a_secret_is_rotated_without_a_restart(web: Web) -> None:
    old, new = "the old secret of all", "the new secret of all"

    def taken(number: int, secret: str) -> bool:
        body = json.dumps(push(number=number)).encode()
        return web.post(body, *signed(body, secret), *about("push")).status == 200

    web.secrets(old)
    assert (taken(1, old), taken(2, new)) == (True, False)
    web.secrets(old, "", new)
    assert (taken(3, old), taken(4, new)) == (True, True)
    web.secrets(new)
    assert (taken(5, old), taken(6, new)) == (False, True)


@pytest.mark.parametrize(
    "secrets", [(), ("short",), (SECRET, "short"), tuple(f"secret number {n:04}" for n in range(9))]
)
def test_secrets_that_became_unusable_prove_nothing_until_they_are_mended(secrets: tuple[str, ...], web: Web) -> None:
    web.secrets(*secrets)
    answer = web.deliver("push", PUSH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert [str(web.secret_file) in str(problem) for problem in web.journal.troubles] == [True]
    assert not any(secret in str(problem) for problem in web.journal.troubles for secret in secrets)
    web.secrets(SECRET)
    assert web.deliver("push", PUSH).said == "woken"


def test_a_secret_file_that_is_gone_proves_nothing(web: Web) -> None:
    web.secret_file.unlink()
    assert web.deliver("push", PUSH).status == 503
    assert web.woken == []


def opened(places: Places) -> Terminal:
    with pytest.raises(Terminal) as refused:
        open_listener(places, TRACKED, LIMITS, None, Journal())  # type: ignore[arg-type]
    assert refused.value.reason is Reason.INVALID_SETTINGS
    assert refused.value.hint
    return refused.value


def test_settings_that_can_t_be_kept_are_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, pipe, good = tmp_path / "short", tmp_path / "pipe", tmp_path / "good"
    short.write_text("15 characters!!\n")
    good.write_text("16 characters!!!\n")
    os.mkfifo(pipe)
    monkeypatch.setenv("WEAK", "hunter2")
    at = "127.0.0.1:0"
    for places, told in (
        (Places(at, webhook_secret_env="WEAK"), "web.webhook_secret_env: the environment variable WEAK holds a secret"),
        (Places(at, webhook_secret_env="UNSET"), "the environment variable UNSET holds no secret"),
        (Places(at, webhook_secret_file=short), "short holds a secret of fewer than 16 characters"),
        (Places(at, webhook_secret_file=tmp_path / "gone"), "gone: No such file or directory"),
        (Places(at, webhook_secret_file=pipe), "pipe is not a file"),
        (Places(at, "WEAK", good), "not both"),
        (Places(None, webhook_secret_file=good), "nothing listens"),
        (Places("127.0.0.1:70000"), "web.listen: 127.0.0.1:70000 can't be had"),
        (Places("192.0.2.1:8080"), "web.listen: 192.0.2.1:8080 can't be had"),
        (Places("no.such.host.invalid:8080"), "web.listen: no.such.host.invalid:8080 can't be had"),
    ):
        problem = opened(places)
        assert told in problem.message
        assert "hunter2" not in problem.message + problem.hint


def test_a_port_in_use_is_told_by_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert opened(Places(address)).message == f"web.listen: {address} can't be had: Address already in use"


def test_nothing_listens_when_nothing_is_set() -> None:
    assert open_listener(Places(), TRACKED, LIMITS, None, Journal()) is None  # type: ignore[arg-type]


# --- bodies -------------------------------------------------------------------------------------


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(web: Web) -> None:
    client = web.client()
    client.head(*signed(b""), *about("push"), f"Content-Length: {LIMITS.body_bytes + 1}")
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_26_megabytes_are_refused_and_the_sender_reads_why(web: Web) -> None:
    body = b" " * (26 * 1000**2)
    assert web.post(body, *signed(body), *about("push")).status == 413
    assert web.woken == []


def test_the_largest_body_passes_and_one_byte_more_does_not(serve: Serve) -> None:
    web = serve(replace(LIMITS, body_bytes=len(PUSH)))
    assert web.deliver("push", PUSH).status == 200
    assert web.deliver("push", PUSH + b" ").status == 413


def test_an_endless_body_is_cut_at_the_bound(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LINGER_SECONDS", 0.05)
    client, chunk = web.client(), b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    client.head(*signed(b""), *about("push"), "Transfer-Encoding: chunked")
    for _ in range(LIMITS.body_bytes // 0x10000 + 1):
        client.send(chunk)
    assert client.answer().status == 413
    with pytest.raises(ConnectionError):
        endless(client, chunk)


def endless(client: Client, chunk: bytes) -> None:
    eventually(lambda: client.send(chunk))


@pytest.mark.parametrize("pieces", [0, 5])
def test_a_body_that_does_not_end_in_time_is_refused(
    pieces: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LINGER_SECONDS", 0.05)
    web = serve(replace(LIMITS, body_seconds=0.1))
    client = web.client()
    client.head(*signed(PUSH), *about("push"), f"Content-Length: {len(PUSH)}")
    for byte in PUSH[:pieces]:
        client.send(b"%c" % byte)
    assert client.answer().status == 408
    assert client.is_closed()
    assert web.woken == []


def test_a_body_that_is_cut_short_wakes_nobody_and_gives_its_place_back(serve: Serve) -> None:
    web = serve(replace(LIMITS, bodies=1))
    for _ in range(3):
        client = web.client()
        client.head(*signed(PUSH), *about("push"), f"Content-Length: {len(PUSH) + 1}")
        client.send(PUSH)
        eventually(lambda: web.post(b"", *signed(b"x")).status == 503)
        client.socket.close()
        eventually(lambda: web.post(b"", *signed(b"x")).status == 401)
    assert web.woken == []


def test_only_so_many_bodies_are_read_at_once(serve: Serve) -> None:
    web = serve(replace(LIMITS, bodies=2))
    slow = [web.client() for _ in range(2)]
    for client in slow:
        client.head(*signed(PUSH), *about("push"), f"Content-Length: {len(PUSH)}")
    eventually(lambda: web.post(b"", *signed(b"x")).status == 503)
    answer = web.deliver("push", push(number=2))
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    slow[0].send(PUSH)
    assert slow[0].answer().said == "woken"
    assert web.deliver("push", push(number=2)).said == "woken"


@pytest.mark.parametrize("sent", [b"", b"POST /livez HTTP/1.1\r\nHost: x\r\nX-A"])
def test_a_head_that_does_not_come_in_time_ends_the_connection(
    sent: bytes, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.1)
    client = serve().client()
    client.send(sent)
    assert client.is_closed()


def test_a_second_head_on_a_connection_has_its_deadline_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client = web.client()
    client.head(path="/livez", method="GET")
    assert client.answer("GET").status == 200
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.1)
    client.send(b"GET /livez HT")
    assert client.is_closed()


def test_an_endless_head_is_refused(web: Web) -> None:
    client = web.client()
    client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (listener.HEAD_BYTES + 1))
    assert client.answer().status == 400


def test_connections_beyond_the_bound_are_ended_and_those_below_it_work(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CONNECTIONS", 3)
    web = serve()
    clients = [web.client() for _ in range(3)]
    assert web.client().is_closed()
    clients[0].head(path="/livez", method="GET")
    assert clients[0].answer().status == 200


def test_one_address_can_t_take_the_connections_of_all_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "CONNECTIONS", 4)
    monkeypatch.setattr(listener, "NEIGHBOURS", 2)
    web = serve()
    crowd = [web.client() for _ in range(2)]
    assert web.client().is_closed()
    with socket.create_connection(("127.0.0.1", web.port), 10, source_address=("127.0.0.2", 0)) as other:
        other.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.1 200"
    crowd[0].head(path="/livez", method="GET")
    assert crowd[0].answer().status == 200


@pytest.mark.parametrize("path", ["/livez", "/nothing"])
def test_a_body_that_nobody_wants_is_not_taken_for_long(path: str, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LINGER_SECONDS", 0.05)
    client = web.client()
    client.head("Content-Length: 1000000", path=path, method="GET")
    assert client.answer("GET").headers["connection"] == "close"
    assert client.is_closed()


def test_a_stop_waits_for_no_connection_that_hangs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS", 0.1)
    web = serve()
    client = web.client()
    client.head(*signed(PUSH), *about("push"), f"Content-Length: {len(PUSH)}")
    assert web.get("/livez").status == 200
    web.listener.__exit__(None, None, None)
    web.listener._thread.join(5)
    assert not web.listener._thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        web.client()


# --- replay -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "delivery"), [("push", "1"), ("push", "2"), ("ping", "3"), ("workflow_run", "4")])
def test_what_was_delivered_before_wakes_nobody_whatever_its_headers_say(event: str, delivery: str, web: Web) -> None:
    assert web.deliver("push", PUSH).said == "woken"
    answer = web.deliver(event, PUSH, delivery)
    assert (answer.status, answer.said) == (200, "seen before")
    assert web.woken == [{LOOK}]


def test_what_was_refused_for_its_time_or_its_place_may_come_again(serve: Serve) -> None:
    web = serve(replace(LIMITS, bodies=1, body_seconds=0.2))
    slow = web.client()
    slow.head(*signed(PUSH), *about("push"), f"Content-Length: {len(PUSH)}")
    eventually(lambda: web.deliver("ping", PUSH + b" ").status == 503)
    slow.send(PUSH[:-1])
    assert slow.answer().status == 408
    eventually(lambda: web.deliver("push", PUSH).status == 200)
    assert web.woken == [{LOOK}]


def test_the_oldest_deliveries_are_forgotten_first() -> None:
    seen = Seen(3)
    for signature in (b"a", b"b", b"c", b"d"):
        seen.add(signature)
    assert [signature in seen for signature in (b"a", b"b", b"c", b"d")] == [False, True, True, True]


# --- JSON ---------------------------------------------------------------------------------------

BODIES = {
    "nothing": b"",
    "no JSON": b"ref=refs/heads/main",
    "a list": b"[]",
    "a word": b"null",
    "a key twice": b'{"ref":"refs/heads/x","ref":"refs/heads/main","repository":{"id":7,"full_name":"acme/deploy"}}',
    "not a number": b'{"ref":NaN,"repository":{"id":7,"full_name":"acme/deploy"}}',
    "deeper than it can be": b'{"ref":' + b"[" * 65 + b"]" * 65 + b"}",
    "a hundred thousand levels": b"[" * 100_000,
    "levels of objects": b'{"a":' * 50_000,
    "something behind it": PUSH + b"{}",
    "UTF-16": PUSH.decode().encode("utf-16"),
    "no UTF-8": b'{"ref":"\xff","repository":{"id":7,"full_name":"acme/deploy"}}',
    "a number of a million digits": b'{"ref":' + b"9" * 1_000_000 + b"}",
    "no ref": b'{"repository":{"id":7,"full_name":"acme/deploy"}}',
    "a ref of another kind": b'{"ref":7,"repository":{"id":7,"full_name":"acme/deploy"}}',
    "a repository of another kind": b'{"ref":"refs/heads/main","repository":"acme/deploy"}',
    "an id of another kind": b'{"ref":"refs/heads/main","repository":{"id":"7","full_name":"acme/deploy"}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_proven_body_that_is_not_what_its_event_says_wakes_nobody(body: bytes, web: Web) -> None:
    assert web.deliver("push", body).status == 400
    assert (web.woken, web.journal.troubles) == ([], [])


def test_brackets_in_a_text_are_no_levels(web: Web) -> None:
    assert web.deliver("push", push(title='[{"\\' * 1000)).said == "woken"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_another_content_type_is_refused_with_what_to_set(kind: str, web: Web) -> None:
    lines = [line for line in about("push") if not line.startswith("Content-Type")]
    answer = web.post(PUSH, *signed(PUSH), *lines, f"Content-Type: {kind}")
    assert (answer.status, answer.said) == (415, "set the webhook's content type to application/json")
    assert web.post(PUSH, *signed(PUSH), *lines, "Content-Type: Application/JSON; charset=utf-8").said == "woken"


# --- who it is about ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about_it", "known", "woken"),
    [
        (repository("acme/deploy"), None, True),
        (repository("Acme/Deploy"), None, True),
        (repository("acme/deploy2"), None, False),
        (repository("evil/deploy"), None, False),
        (repository("acme/shop"), None, False),
        (repository("acme/deploy", 7), 7, True),
        (repository("renamed/since", 7), 7, True),
        (repository("acme/deploy", 8), 7, False),
        (None, None, False),
    ],
)
def test_only_the_tracked_repository_wakes(about_it: object, known: int | None, woken: bool, serve: Serve) -> None:
    web = serve(tracked=replace(TRACKED, id=lambda: known))
    answer = web.deliver("push", {"ref": "refs/heads/main", "repository": about_it})
    assert (answer.status, bool(web.woken)) == ((200, True) if woken else (202, False))


def test_runs_of_a_repository_that_builds_wake_too(web: Web) -> None:
    for number, (name, woken) in enumerate([("acme/shop", True), ("ACME/SHOP", True), ("acme/other", False)]):
        told = {"action": "completed", "workflow_run": {"id": number}, "repository": repository(name, 99)}
        assert (web.deliver("workflow_run", told).status == 200) == woken
    assert web.woken == [{LOOK}, {LOOK}]


# --- what wakes ---------------------------------------------------------------------------------

REQUEST = Wake(12)
MERGED = "2026-11-22T20:00:00Z"
EVENTS: dict[str, tuple[str, dict[str, object], set[Wake]]] = {
    "a push to the branch": ("push", push(), {LOOK}),
    "a push that deletes the branch": ("push", push(deleted=True), {LOOK}),
    "a push to another branch": ("push", push("main2"), set()),
    "a push of a tag of that name": ("push", {"ref": "refs/tags/main", "repository": repository()}, set()),
    "an opened request": ("pull_request", pull_request("opened"), {REQUEST}),
    "new commits of a request": ("pull_request", pull_request("synchronize"), {REQUEST}),
    "a request that is closed": ("pull_request", pull_request("closed"), {REQUEST}),
    "a request that is merged": ("pull_request", pull_request("closed", merged_at=MERGED), {REQUEST, LOOK}),
    "a label": ("pull_request", pull_request("labeled"), set()),
    "a request against another branch": ("pull_request", pull_request("opened", base="next"), set()),
    "a request that is pointed at the branch": ("pull_request", pull_request("edited"), {REQUEST}),
    "a request that is pointed away from the branch": (
        "pull_request",
        pull_request("edited", base="next") | {"changes": {"base": {"ref": {"from": "main"}, "sha": {"from": "1"}}}},
        {REQUEST},
    ),
    "a new title of a request against another branch": (
        "pull_request",
        pull_request("edited", base="next") | {"changes": {"title": {"from": "main"}}},
        set(),
    ),
    "a review": ("pull_request_review", pull_request("submitted"), {REQUEST}),
    "a review that is dismissed": ("pull_request_review", pull_request("dismissed"), {REQUEST}),
    "a review after the merge": ("pull_request_review", pull_request("submitted", merged_at=MERGED), {REQUEST, LOOK}),
    "a review of another branch": ("pull_request_review", pull_request("submitted", base="next"), set()),
    "a merge queue": (
        "merge_group",
        {"merge_group": {"base_ref": "refs/heads/main"}, "repository": repository()},
        {LOOK},
    ),
    "another branch's queue": (
        "merge_group",
        {"merge_group": {"base_ref": "refs/heads/next"}, "repository": repository()},
        set(),
    ),
    "a run that ended": ("workflow_run", {"action": "completed", "repository": repository()}, {LOOK}),
    "a run that began": ("workflow_run", {"action": "requested", "repository": repository()}, set()),
    "our own deployment": ("deployment_status", {"action": "created", "repository": repository()}, set()),
    "our own status": ("status", {"state": "success", "repository": repository()}, set()),
    "our own comment": ("issue_comment", {"action": "created", "repository": repository()}, set()),
    "an event without a name": ("", push(), set()),
}


@pytest.mark.parametrize(("event", "payload", "woken"), EVENTS.values(), ids=EVENTS.keys())
def test_it_wakes_for(event: str, payload: dict[str, object], woken: set[Wake], web: Web) -> None:
    answer = web.deliver(event, payload)
    assert (answer.status, answer.said) == ((200, "woken") if woken else (202, "ignored"))
    assert web.woken == ([woken] if woken else [])


def test_a_ping_is_answered_and_wakes_nobody(web: Web) -> None:
    answer = web.deliver("ping", {"zen": "Keep it logically awesome.", "repository": repository()})
    assert (answer.status, answer.said, web.woken) == (200, "pong", [])


# --- floods -------------------------------------------------------------------------------------


def test_a_flood_wakes_once_until_the_rest_is_over(serve: Serve) -> None:
    web = serve(replace(LIMITS, rest_seconds=1e6))
    assert {web.deliver("pull_request", pull_request("opened", number)).said for number in range(100)} == {"woken"}
    assert web.woken == [{Wake(0)}]


def test_what_comes_while_it_rests_is_told_together_when_the_rest_is_over_and_then_it_rests_again() -> None:
    told: list[frozenset[Wake]] = []

    def hear(wakes: frozenset[Wake]) -> None:
        told.append(wakes)
        if len(told) == 2:
            waker.wake({Wake(10)})
            waker.wake({Wake(11)})

    async def flood() -> None:
        for number in range(5):
            waker.wake({Wake(number), LOOK})
        while len(told) < 3:
            await asyncio.sleep(0)

    waker = Waker(hear, 0.001)
    asyncio.run(asyncio.wait_for(flood(), 10))
    assert told == [{Wake(0), LOOK}, {*map(Wake, range(1, 5)), LOOK}, {Wake(10), Wake(11)}]


# --- the log ------------------------------------------------------------------------------------


def test_the_log_hears_the_event_and_the_id_in_printable_characters_and_nothing_else(web: Web) -> None:
    body = json.dumps(push(canary="canary-body")).encode()
    kind = "Content-Type: application/json"
    odd = ["X-GitHub-Event: pu\x9b\u202e \tsh", "X-GitHub-Delivery: " + "d\x9b" * 100]
    web.post(body, *signed(body), kind, *odd, "X-Canary: canary-header")
    web.deliver("push", body + b"canary-body")
    web.post(b"canary-body", *signed(b"no"), *about("push", "2"))
    assert [told[:2] for told in web.journal.deliveries] == [("push", "d" * 64), ("push", "1"), ("push", "2")]
    for canary in ("canary", SECRET, sign(body)):
        assert canary not in str(web.journal)


# --- GitHub's own examples ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples() -> dict[str, list[dict[str, object]]]:
    """Payloads by event, of `@octokit/webhooks-examples`."""
    install.ensure()
    return {event["name"]: event["examples"] for event in json.loads(install.WEBHOOKS.read_bytes())}


def test_of_github_s_examples_none_is_an_error_and_only_five_events_wake(
    examples: dict[str, list[dict[str, object]]], serve: Serve
) -> None:
    about_hello = Tracked("codertocat/hello-world", "master", builders=frozenset({"octo-org/octo-repo"}))
    web = serve(tracked=about_hello)
    answers: dict[str, set[object]] = {}
    for event, payloads in examples.items():
        for number, payload in enumerate(payloads):  # some are in there twice: a mark keeps them apart
            answers.setdefault(event, set()).add(web.deliver(event, {**payload, "mark": number}).said)
    assert {event for event, said in answers.items() if "woken" in said} == {
        "push",
        "pull_request",
        "pull_request_review",
        "workflow_run",
    }
    assert answers.pop("ping") == {"pong"}
    assert set().union(*answers.values()) == {"woken", "ignored"}
    assert set().union(*web.woken) == {LOOK, Wake(2)}


@pytest.mark.parametrize(
    ("event", "branch", "woken"),
    [("merge_group", "main", 2), ("merge_group", "next", 0), ("workflow_run", "main", 2), ("push", "main", 0)],
)
def test_github_s_examples_of_another_repository(
    event: str, branch: str, woken: int, examples: dict[str, list[dict[str, object]]], serve: Serve
) -> None:
    web = serve(tracked=Tracked("Octo-Org/octo-repo", branch))
    for number, payload in enumerate(examples[event]):
        web.deliver(event, {**payload, "mark": number})
    assert web.woken == [{LOOK}] * woken


# --- a pull request's life, as the stateful GitHub delivers it -------------------------------------


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    try:
        yield hub
    finally:
        hub.close()


def test_a_request_wakes_by_its_number_until_it_is_merged_and_then_the_branch(
    hub: Hub, serve: Serve, tmp_path: Path
) -> None:
    deploy = hub.repository("acme/deploy", tmp_path / "hub")
    dan, ann = deploy.person("dan"), deploy.person("ann")
    web = serve(tracked=Tracked("old/name", "main", id=lambda: deploy.id))
    hook = deploy.webhook(f"http://127.0.0.1:{web.port}{HOOK}", SECRET)
    assert hook.ping().status == 200

    deploy.push(dan, "change", {"a": "1"}, "Change")
    assert told(web) == set()
    pull = deploy.open_pull(dan, "change")
    assert told(web) == {Wake(pull.number)}
    deploy.review(pull, ann, "APPROVED")
    assert told(web) == {Wake(pull.number)}
    deploy.merge(pull, ann, "squash")
    assert told(web) == {Wake(pull.number), LOOK}
    deploy.review(pull, ann, "COMMENTED")
    assert told(web) == {Wake(pull.number), LOOK}
    for delivery in tuple(hook.deliveries):
        assert hook.redeliver(delivery).status in (200, 202)
    assert told(web) == set()


def told(web: Web) -> set[Wake]:
    """What was woken since somebody asked last."""
    found, web.woken[:] = set().union(*web.woken), ()
    return found
