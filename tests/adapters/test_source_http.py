"""The http source against servers that are wrong, slow, or lie: what it says of each, and what it never sends."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.errors import PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.ports import Source
from reconciler.sources import http
from tests.adapters.runs import RUN, SHOP, artifact, parts, run, run_json
from tests.adapters.servers import RESET, Request, Script, ScriptedServer, answer, certificate

TOKEN = "canary-5e884898"
RUN_JSON = answer("200 OK", run_json(), Content_Type="application/json")
HALF = len(SHOP) // 2

Serve = Callable[[Script], ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedServer(script))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Source]:
    def make(url: str, options: dict[str, Any] | None = None, **bounds: Any) -> Source:
        return http.create({"url": url, **(options or {})}, parts(tmp_path, **bounds))

    return make


Make = Callable[..., Source]


def always(data: bytes) -> Script:
    def script(_: Request) -> Iterator[bytes]:
        yield data

    return script


def read(source: Source, offset: int = 0) -> bytes:
    with source.open(run(), artifact(), offset) as stream:
        return b"".join(stream)


def read_into(got: bytearray, source: Source) -> None:
    with source.open(run(), artifact(), 0) as stream:
        for chunk in stream:
            got += chunk


# --- what an answer means -----------------------------------------------------------------------

ABSENT = {"404": "404 Not Found", "410": "410 Gone"}


@pytest.mark.parametrize("status", ABSENT.values(), ids=ABSENT.keys())
def test_an_absent_run_and_an_absent_artifact_are_denied_by_name(status: str, serve: Serve, make: Make) -> None:
    source = make(serve(always(answer(status))).url)
    with pytest.raises(PolicyDenied) as no_run:
        source.run(RUN)
    with pytest.raises(PolicyDenied) as no_file:
        read(source)
    assert (no_run.value.reason, no_file.value.reason) == (Reason.RUN_NOT_FOUND, Reason.ARTIFACT_MISSING)


def http_date(seconds: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))


REFUSALS: dict[str, tuple[bytes, str]] = {
    "401 names the token": (answer("401 Unauthorized"), "answers 401"),
    "403 names the token": (answer("403 Forbidden"), "answers 403"),
    "403 of a rate limit names the wait": (answer("403 Forbidden", Retry_After="30"), "wait for 30 s"),
    "429 names the wait": (answer("429 Too Many", Retry_After="17"), "answers 429 and asks to wait for 17 s"),
    "503 with a date in the past": (answer("503 Busy", Retry_After="Sun, 01 Mar 2026 12:00:00 GMT"), "wait for 0 s"),
    "503 with a date without a zone": (answer("503 Busy", Retry_After="Sun, 01 Mar 2026 12:00:00 -0000"), "for 0 s"),
    "503 with nonsense as a wait": (answer("503 Busy", Retry_After="soon\x1b[2J"), "answers 503"),
    "500": (answer("500 Oops", b"Traceback: s3cret"), "answers 500"),
    "502": (answer("502 Bad Gateway", b"<html>", Content_Type="text/html"), "answers 502"),
    "204": (answer("204 No Content"), "answers 204"),
    "206 that nobody asked for": (answer("206 Partial", b"x", Content_Range="bytes 5-5/6"), "answers 206"),
    "a login page": (answer("200 OK", b"<html>sign in", Content_Type="text/html; charset=utf-8"), "HTML page"),
    "no HTTP at all": (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
    "an empty answer": (b"", "the connection failed|broke off"),
    "a reset before the head": (RESET, "the connection failed"),
    "a head that breaks off": (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off"),
    "a head that breaks off behind a line": (b"HTTP/1.1 200 OK\r\nServer: x\r\n", "broke off"),
    "a head with a line that is none": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\nabc", "broke off"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "not HTTP"),
    "a head of 200 lines": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "not HTTP"),
    "a head line of 70,000 bytes": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "not HTTP"),
}


@pytest.mark.parametrize(("data", "told"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("what", ["run", "artifact"])
def test_an_answer_that_gives_nothing_is_tried_again(
    data: bytes, told: str, what: str, serve: Serve, make: Make
) -> None:
    source = make(serve(always(data)).url)
    with pytest.raises(Transient, match=told) as caught:
        source.run(RUN) if what == "run" else read(source)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert "s3cret" not in caught.value.message


def test_a_missing_credential_is_hinted_at(serve: Serve, make: Make) -> None:
    with pytest.raises(Transient) as caught:
        make(serve(always(answer("401 Unauthorized"))).url).run(RUN)
    assert "token_env or token_file" in caught.value.hint


def test_a_wait_until_a_date_is_told_in_seconds(serve: Serve, make: Make) -> None:
    with pytest.raises(Transient, match=r"wait for (29|30|31|32|33) s"):
        make(serve(always(answer("429 Too Many", Retry_After=http_date(31)))).url).run(RUN)


NOT_JSON: dict[str, tuple[bytes, str]] = {
    "a zip": (answer("200 OK", run_json(), Content_Type="application/zip"), "'application/zip' instead of JSON"),
    "compressed": (answer("200 OK", run_json(), Content_Encoding="gzip"), "compressed"),
    "HTML called JSON": (answer("200 OK", b"<html>", Content_Type="application/json"), "not JSON"),
    "longer than it says": (answer("200 OK", run_json(), Content_Length="20"), "not JSON"),
    "shorter than it says": (answer("200 OK", run_json(), Content_Length="9999"), "broke off"),
    "larger than allowed": (answer("200 OK", run_json() + b" " * 300_000), "larger than the allowed"),
}


@pytest.mark.parametrize(("data", "told"), NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_run_file_is_not_read_when_it_is(data: bytes, told: str, serve: Serve, make: Make) -> None:
    with pytest.raises(Transient, match=told):
        make(serve(always(data)).url).run(RUN)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/vnd.ci+json", "text/plain", "application/octet-stream"]
)
def test_a_run_file_is_read_under_the_names_that_file_servers_give_it(kind: str, serve: Serve, make: Make) -> None:
    assert make(serve(always(answer("200 OK", run_json(), Content_Type=kind))).url).run(RUN).run_id == 101


def test_a_compressed_artifact_is_taken_as_the_bytes_that_it_is(serve: Serve, make: Make) -> None:
    server = serve(always(answer("200 OK", b"\x1f\x8b raw", Content_Encoding="x-gzip")))
    assert read(make(server.url)) == b"\x1f\x8b raw"
    assert server.requests[0].headers["accept-encoding"] == "identity"


# --- bodies -------------------------------------------------------------------------------------


def test_a_chunked_body_is_put_together(serve: Serve, make: Make) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nshop\r\n3\r\n!!!\r\n0\r\n\r\n"
    assert read(make(serve(always(body)).url)) == b"shop!!!"


BROKEN_BODIES: dict[str, tuple[list[bytes], bytes]] = {
    "the connection ends before the length": ([answer("200 OK", b"abc", Content_Length="9")], b"abc"),
    "the connection is reset": ([answer("200 OK", b"abc", Content_Length="9"), RESET], b""),
    "a chunk breaks off": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"], b"abc"),
    "a chunk has no size": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"], b"abc"),
}


@pytest.mark.parametrize(("sent", "kept"), BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
def test_what_came_before_a_fault_is_given_and_the_fault_told(
    sent: list[bytes], kept: bytes, serve: Serve, make: Make
) -> None:
    source = make(serve(lambda _: iter(sent)).url)
    got = bytearray()
    with pytest.raises(Transient) as caught:
        read_into(got, source)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert got.startswith(kept)


def endless(server: list[ScriptedServer], head: bytes, piece: bytes, pause: float) -> Script:
    def script(_: Request) -> Iterator[bytes]:
        yield head
        while not server[0].stopped.wait(pause):
            yield piece

    return script


def drip(serve: Serve, head: bytes, piece: bytes, pause: float = 0.02) -> ScriptedServer:
    """A server that never ends."""
    server: list[ScriptedServer] = []
    server.append(serve(endless(server, head, piece, pause)))
    return server[0]


SLOW = {"connect_seconds": 0.4, "read_seconds": 0.4, "fetch_seconds": 0.8}
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD, b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Pad: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["in the body", "in chunks", "in the head", "in answers before the answer"],
)
@pytest.mark.parametrize("what", ["run", "artifact"])
def test_a_byte_at_a_time_ends_at_the_deadline(head: bytes, piece: bytes, what: str, serve: Serve, make: Make) -> None:
    source = make(drip(serve, head, piece).url, **SLOW)
    began = time.monotonic()
    with pytest.raises(Transient, match=r"not done after 0.8 s"):
        source.run(RUN) if what == "run" else read(source)
    assert 0.7 < time.monotonic() - began < 3


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", HEAD], ids=["at once", "in the head", "in the body"])
def test_a_server_that_falls_silent_is_left(head: bytes, serve: Serve, make: Make) -> None:
    source = make(drip(serve, head, b"", 0.05).url, connect_seconds=5, read_seconds=0.3)
    with pytest.raises(Transient, match=r"silent for 0.3 s"):
        source.run(RUN)


def test_a_silence_that_would_outlast_the_deadline_ends_with_it(serve: Serve, make: Make) -> None:
    source = make(drip(serve, HEAD, b"", 0.05).url, read_seconds=30, fetch_seconds=0.4)
    began = time.monotonic()
    with pytest.raises(Transient, match=r"not done after 0.4 s"):
        read(source)
    assert time.monotonic() - began < 5


def test_what_a_slow_server_sent_before_the_deadline_is_not_lost(serve: Serve, make: Make) -> None:
    source = make(drip(serve, HEAD, b"x", 0.02).url, **SLOW)
    got = bytearray()
    with pytest.raises(Transient):
        read_into(got, source)
    assert len(got) > 5


def test_an_endless_run_file_is_read_to_its_bound_only(serve: Serve, make: Make) -> None:
    with pytest.raises(Transient, match="larger than the allowed 262144 bytes"):
        make(drip(serve, HEAD, b" " * 65536, 0).url).run(RUN)


def test_a_redirect_with_an_endless_body_is_followed_without_reading_it(serve: Serve, make: Make) -> None:
    good = serve(always(RUN_JSON))
    head = f"HTTP/1.1 302 Found\r\nLocation: {good.url}/\r\n\r\n".encode()
    source = make(drip(serve, head, b"x" * 65536, 0).url, {"allowed_hosts": [f"127.0.0.1:{good.port}"]})
    began = time.monotonic()
    assert source.run(RUN).run_id == 101
    assert time.monotonic() - began < 2


def test_a_port_where_nobody_listens_is_told_plainly(serve: Serve, make: Make) -> None:
    with ScriptedServer(always(b"")) as gone:
        url = gone.url
    with pytest.raises(Transient, match=f"{url}/101/run.json: the connection failed: Connection refused"):
        make(url).run(RUN)


def test_a_host_without_an_address_is_told_plainly(make: Make) -> None:
    with pytest.raises(Transient, match="the connection failed"):
        make("http://no-such-host.invalid").run(RUN)


# --- resuming -----------------------------------------------------------------------------------


def ranged(**headers: str) -> bytes:
    return answer("206 Partial Content", SHOP[HALF:], **headers)


def by_range(whole: bytes, part: bytes) -> Script:
    def script(request: Request) -> Iterator[bytes]:
        yield part if "range" in request.headers else whole

    return script


def test_a_resumed_download_asks_for_the_rest_of_the_very_file_it_began(serve: Serve, make: Make) -> None:
    whole = answer("200 OK", SHOP, ETag='"v1"')
    server = serve(by_range(whole, ranged(Content_Range=f"bytes {HALF}-{len(SHOP) - 1}/{len(SHOP)}")))
    source = make(server.url)
    assert read(source) + read(source, HALF) == SHOP + SHOP[HALF:]
    assert server.requests[1].headers["range"] == f"bytes={HALF}-"
    assert server.requests[1].headers["if-range"] == '"v1"'


@pytest.mark.parametrize("tag", ['W/"v1"', "v1", ""], ids=["a weak tag", "a bare word", "an empty one"])
def test_a_tag_that_proves_nothing_is_not_sent(tag: str, serve: Serve, make: Make) -> None:
    server = serve(always(answer("200 OK", SHOP, ETag=tag)))
    source = make(server.url)
    read(source)
    read(source, HALF)
    assert "if-range" not in server.requests[1].headers


def test_a_server_that_can_not_resume_sends_all_of_it(serve: Serve, make: Make) -> None:
    source = make(serve(always(answer("200 OK", SHOP))).url)
    with source.open(run(), artifact(), HALF) as stream:
        assert stream.offset == 0
        assert b"".join(stream) == SHOP


WRONG_RANGES = {
    "none": {},
    "another start": {"Content_Range": f"bytes 0-{HALF}/{len(SHOP)}"},
    "another unit": {"Content_Range": "lines 5-6/7"},
    "not a range": {"Content_Range": f"bytes */{len(SHOP)}"},
}


@pytest.mark.parametrize("headers", WRONG_RANGES.values(), ids=WRONG_RANGES.keys())
def test_another_part_of_the_file_than_the_one_asked_for_is_not_taken(
    headers: dict[str, str], serve: Serve, make: Make
) -> None:
    with pytest.raises(Transient, match=f"another part of the file than the one from byte {HALF} on"):
        read(make(serve(always(ranged(**headers))).url), HALF)


def test_a_range_that_ends_before_the_file_does_is_no_end(serve: Serve, make: Make) -> None:
    some = answer("206 Partial Content", b"x" * 10, Content_Range=f"bytes {HALF}-{HALF + 9}/{len(SHOP)}")
    with pytest.raises(Transient, match=f"ended after byte {HALF + 10} of {len(SHOP)}"):
        read(make(serve(always(some)).url), HALF)


def test_a_range_of_a_file_of_unknown_length_ends_where_it_says(serve: Serve, make: Make) -> None:
    part = ranged(Content_Range=f"bytes {HALF}-{len(SHOP) - 1}/*")
    assert read(make(serve(always(part)).url), HALF) == SHOP[HALF:]


def test_a_part_longer_than_the_file_begins_anew(serve: Serve, make: Make) -> None:
    server = serve(by_range(answer("200 OK", SHOP), answer("416 Range Not Satisfiable")))
    assert read(make(server.url), 10**9) == SHOP
    assert ["range" in request.headers for request in server.requests] == [True, False]


# --- redirects and the token --------------------------------------------------------------------


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(status, Location=location)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_on_the_same_server_is_followed_with_the_token(
    status: str, serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> Iterator[bytes]:
        yield RUN_JSON if request.path == "/there" else redirect("/there", status)

    monkeypatch.setenv("CI_TOKEN", TOKEN + "\n")
    server = serve(script)
    assert make(server.url, {"token_env": "CI_TOKEN"}).run(RUN).run_id == 101
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {TOKEN}"] * 2


def test_the_token_stays_at_home_when_a_redirect_leads_away(
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_TOKEN", TOKEN)
    blobs = serve(always(answer("200 OK", SHOP)))
    home = serve(always(redirect(f"{blobs.url}/x?sig=1")))
    source = make(home.url, {"token_env": "CI_TOKEN", "allowed_hosts": [f"127.0.0.1:{blobs.port}"]})
    assert read(source) == SHOP
    assert TOKEN not in repr(blobs.requests)
    assert home.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_the_signature_of_a_redirect_is_used_and_logged_nowhere(
    serve: Serve, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def script(request: Request) -> Iterator[bytes]:
        yield answer("200 OK", SHOP) if "sig=" in request.path else redirect(f"/x?sig={TOKEN}")

    caplog.set_level("DEBUG")
    server = serve(script)
    assert read(make(server.url)) == SHOP
    assert server.requests[1].path == f"/x?sig={TOKEN}"
    assert TOKEN not in caplog.text


def test_a_redirect_to_a_place_that_nobody_allowed_asks_nothing_there(serve: Serve, make: Make) -> None:
    internal = serve(always(RUN_JSON))
    home = serve(always(redirect(f"{internal.url}/admin?sig=s3cret")))
    with pytest.raises(Transient, match="a host that is not allowed") as caught:
        make(home.url).run(RUN)
    assert internal.requests == []
    assert "s3cret" not in str(caught.value)
    assert f"'127.0.0.1:{internal.port}'" in caught.value.hint


def test_a_loop_of_redirects_ends_at_its_bound(serve: Serve, make: Make) -> None:
    server = serve(always(redirect("/again")))
    with pytest.raises(Transient, match="still redirected after 3 redirects"):
        make(server.url, redirects=3).run(RUN)
    assert len(server.requests) == 4


def test_a_redirect_to_nowhere_is_told(serve: Serve, make: Make) -> None:
    with pytest.raises(Transient, match="redirects to nowhere"):
        make(serve(always(answer("302 Found"))).url).run(RUN)


def test_a_slow_chain_of_redirects_keeps_to_one_deadline(serve: Serve, make: Make) -> None:
    def script(_: Request) -> Iterator[bytes]:
        server.stopped.wait(0.3)
        yield redirect("/again")

    server = serve(script)
    began = time.monotonic()
    with pytest.raises(Transient, match="not done after"):
        make(server.url, redirects=50, connect_seconds=0.4, read_seconds=0.5).run(RUN)
    assert time.monotonic() - began < 3


def test_nothing_is_taken_from_the_environment(
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stranger = serve(always(answer("200 OK", b"{}")))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", stranger.url)
    monkeypatch.setenv("ALL_PROXY", stranger.url)
    server = serve(always(answer("200 OK", run_json(), Set_Cookie="id=1")))
    source = make(server.url)
    assert source.run(RUN) == source.run(RUN)
    assert stranger.requests == []
    assert all({"authorization", "cookie"}.isdisjoint(request.headers) for request in server.requests)


def test_a_proxy_that_the_operator_names_is_used(serve: Serve, make: Make) -> None:
    proxy = serve(always(RUN_JSON))
    assert make("http://ci.invalid/runs", {"proxy": proxy.url}).run(RUN).run_id == 101
    assert proxy.requests[0].path == "http://ci.invalid/runs/101/run.json"


def test_the_password_of_a_proxy_is_never_shown(make: Make) -> None:
    with ScriptedServer(always(b"")) as gone:
        port = gone.port
    with pytest.raises(Transient) as caught:
        make("http://ci.invalid", {"proxy": f"http://me:{TOKEN}@127.0.0.1:{port}"}).run(RUN)
    assert TOKEN not in repr(caught.value.args) + caught.value.hint


# --- the token itself ---------------------------------------------------------------------------


def test_a_rotated_token_file_is_read_anew(serve: Serve, make: Make, tmp_path: Path) -> None:
    server = serve(always(RUN_JSON))
    file = tmp_path / "token"
    source = make(server.url, {"token_file": str(file)})
    for token in ("first", "second"):
        file.write_text(token + "\n")
        source.run(RUN)
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "content",
    [None, "", "two words", f"{TOKEN}\r\nX-Evil: 1", "gëheim"],
    ids=["absent", "empty", "words", "a header", "umlaut"],
)
def test_a_token_that_can_not_be_one_is_told_by_its_place_only(
    content: str | None, serve: Serve, make: Make, tmp_path: Path
) -> None:
    server = serve(always(RUN_JSON))
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, newline="")
    with pytest.raises(Transient, match=str(file)) as caught:
        make(server.url, {"token_file": str(file)}).run(RUN)
    assert TOKEN not in str(caught.value)
    assert server.requests == []


def test_a_token_from_a_variable_that_is_not_set_is_told_by_its_name(make: Make, serve: Serve) -> None:
    with pytest.raises(Transient, match="the environment variable NO_SUCH_TOKEN holds nothing"):
        make(serve(always(RUN_JSON)).url, {"token_env": "NO_SUCH_TOKEN"}).run(RUN)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": "ci.example"},
        {"url": f"https://me:{TOKEN}@ci.example"},
        {"url": f"https://ci.example/?t={TOKEN}"},
        {"url": "http://ci.example", "token_env": "T"},
        {"url": "https://ci.example", "token_env": "T", "token_file": "/t"},
        {"url": "https://ci.example", "token": TOKEN},
        {"url": "https://ci.example", "allowed_hosts": ["https://x"]},
        {"url": "https://ci.example", "verify": False},
    ],
    ids=[
        "no url", "no scheme", "a password in url", "a query in url", "a token over http",
        "two tokens", "the token itself", "an address as a host", "TLS without proof",
    ],
)  # fmt: skip
def test_options_that_are_unsafe_are_refused_without_showing_secrets(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        http.create(options, parts(tmp_path))
    assert TOKEN not in str(caught.value)


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def test_a_server_is_believed_when_its_authority_is_named(tls: tuple[ssl.SSLContext, Path], make: Make) -> None:
    with ScriptedServer(always(RUN_JSON), tls[0]) as server:
        assert make(server.url, {"ca_file": str(tls[1])}).run(RUN).run_id == 101


def test_a_stranger_s_certificate_is_refused_before_the_token_is_sent(
    tls: tuple[ssl.SSLContext, Path], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_TOKEN", TOKEN)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
    with ScriptedServer(always(RUN_JSON), tls[0]) as server:
        with pytest.raises(Transient, match="certificate is not trusted: self-signed certificate") as caught:
            make(server.url, {"token_env": "CI_TOKEN"}).run(RUN)
        assert server.requests == []
    assert "ca_file" in caught.value.hint


def test_a_certificate_for_another_name_is_refused(tls: tuple[ssl.SSLContext, Path], make: Make) -> None:
    with (
        ScriptedServer(always(RUN_JSON), tls[0]) as server,
        pytest.raises(Transient, match="certificate is not trusted"),
    ):
        make(f"https://localhost:{server.port}", {"ca_file": str(tls[1])}).run(RUN)


def test_a_port_that_does_not_speak_tls_is_told(serve: Serve, make: Make) -> None:
    server = serve(always(b""))
    raw = server.url.replace("http:", "https:")
    with pytest.raises(ReconcilerError) as caught:
        make(raw, connect_seconds=0.5).run(RUN)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


def test_a_certificate_file_that_is_absent_is_a_fault_of_the_source(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        make("https://127.0.0.1:9", {"ca_file": str(tmp_path / "absent.pem")}).run(RUN)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


def test_a_tls_answer_a_byte_at_a_time_ends_at_the_deadline(tls: tuple[ssl.SSLContext, Path], make: Make) -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX: "
        while not server.stopped.wait(0.02):
            yield b"y"

    server = ScriptedServer(script, tls[0])
    with server, pytest.raises(Transient, match="not done after"):
        make(server.url, {"ca_file": str(tls[1])}, connect_seconds=0.4, read_seconds=0.4).run(RUN)
