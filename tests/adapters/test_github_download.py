"""Downloads by way of GitHub: where the bytes may come from, and that our token never goes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Transient
from reconciler.github import Api, NotThere
from reconciler.net import Reach
from tests.adapters.githubs import TOKEN, VARIABLE, Connect, Serve, always, client, in_turn, redirect, says, unavailable
from tests.adapters.servers import Request, ScriptedServer, answer

ZIP = b"PK\x03\x04" + bytes(range(256)) * 8
PATH = "/repos/acme/deploy/actions/artifacts/7/zip"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedServer(script))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    monkeypatch.setenv(VARIABLE, TOKEN)

    def make(url: str, *hosts: str, options: dict[str, Any] | None = None, **bounds: Any) -> Api:
        return client(url, tmp_path, options or {}, None, list(hosts), bounds)

    return make


def ranged(request: Request) -> Iterator[bytes]:
    """Storage that resumes."""
    start = int(request.headers.get("range", "bytes=0-")[6:-1])
    if start >= len(ZIP):
        yield answer("416 Range Not Satisfiable")
    elif start:
        place = f"bytes {start}-{len(ZIP) - 1}/{len(ZIP)}"
        yield answer("206 Partial Content", ZIP[start:], Content_Range=place, Content_Type="application/zip")
    else:
        yield answer("200 OK", ZIP, Content_Type="application/zip")


def read(api: Api, offset: int = 0) -> tuple[int, bytes]:
    with api.download(PATH, offset) as stream:
        return stream.offset, b"".join(stream)


def place(server: ScriptedServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("offset", [0, 1, 1000])
def test_a_download_is_resumed_from_storage_without_our_token(offset: int, serve: Serve, make: Connect) -> None:
    storage = serve(ranged)
    home = serve(always(redirect(f"{storage.url}/7.zip?sig=x")))
    api = make(home.url, place(storage))
    assert read(api, offset) == (offset, ZIP[offset:])
    assert home.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert storage.requests[0].path == "/7.zip?sig=x"
    assert "authorization" not in storage.requests[0].headers
    assert TOKEN not in repr(storage.requests)
    assert api.requests == 1


def test_storage_on_github_s_own_host_gets_no_token_either(serve: Serve, make: Connect) -> None:
    def script(request: Request) -> Iterator[bytes]:
        yield redirect("/_storage/7.zip") if request.path == PATH else answer("200 OK", ZIP)

    server = serve(script)
    assert read(make(server.url)) == (0, ZIP)
    assert ["authorization" in request.headers for request in server.requests] == [True, False]


def test_storage_that_redirects_back_does_not_get_github_asked_with_our_token(serve: Serve, make: Connect) -> None:
    def script(request: Request) -> Iterator[bytes]:
        yield redirect(f"{storage.url}/7") if request.path == PATH else answer("200 OK", ZIP)

    home = serve(script)
    storage = serve(always(redirect(f"{home.url}/user/emails")))
    read(make(home.url, place(storage)))
    assert ["authorization" in request.headers for request in home.requests] == [True, False]


def test_a_download_from_a_renamed_repository_is_found(serve: Serve, make: Connect) -> None:
    storage = serve(ranged)
    home = serve(in_turn(redirect("/repositories/9/zip", "301 Moved"), redirect(f"{storage.url}/7")))
    assert read(make(home.url, place(storage))) == (0, ZIP)
    assert ["authorization" in request.headers for request in home.requests] == [True, True]


def test_storage_that_can_not_resume_begins_anew(serve: Serve, make: Connect) -> None:
    storage = serve(always(answer("200 OK", ZIP)))
    assert read(make(serve(always(redirect(f"{storage.url}/7"))).url, place(storage)), 5) == (0, ZIP)


def test_a_part_that_is_too_long_is_fetched_anew_with_a_new_address(serve: Serve, make: Connect) -> None:
    storage = serve(ranged)
    home = serve(in_turn(redirect(f"{storage.url}/7?sig=1"), redirect(f"{storage.url}/7?sig=2")))
    assert read(make(home.url, place(storage)), 999_999) == (0, ZIP)
    assert [request.path for request in storage.requests] == ["/7?sig=1", "/7?sig=2"]


@pytest.mark.parametrize("named", [False, True], ids=["nothing named", "another port named"])
def test_loopback_is_storage_only_by_its_host_and_port(named: bool, serve: Serve, make: Connect) -> None:
    internal, other = serve(always(answer("200 OK", b"admin"))), serve(ranged)
    home = serve(always(redirect(f"{internal.url}/admin?sig=s3cret")))
    with pytest.raises(Transient, match="a host that is not allowed") as caught:
        read(make(home.url, *([place(other)] if named else [])))
    assert internal.requests == []
    assert "s3cret" not in str(caught.value)
    assert "storage_hosts" in caught.value.hint


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/x",
        "https://x.blob.core.windows.net/x",
        "http://localhost/x",
        "https://user:s3cret@127.0.0.1/x",
        "",
    ],
)
def test_a_download_is_not_followed_to(location: str, serve: Serve, make: Connect) -> None:
    with pytest.raises(Transient) as caught:
        read(make(serve(always(redirect(location))).url))
    assert "s3cret" not in str(caught.value)


BROKEN = {
    "200 by GitHub itself": (says([]), ranged, "answers 200 instead of where the file is"),
    "401 by GitHub": (says({"message": "Bad"}, "401 No"), ranged, "answers 401"),
    "304 by GitHub": (answer("304 Not Modified"), ranged, "answers 304"),
    "404 by the storage": (None, always(answer("404 Not Found")), "where GitHub has the file, answers 404"),
    "403 by the storage": (None, always(answer("403 Forbidden")), "answers 403"),
    "206 that nobody asked for": (None, always(answer("206 Partial", b"x", Content_Range="bytes 5-5/6")), "206"),
    "a page": (None, always(answer("200 OK", b"<html>", Content_Type="text/html")), "HTML page"),
    "a body that breaks off": (None, always(answer("200 OK", ZIP, Content_Length="9999")), "broke off|ended"),
    "nothing": (None, always(b""), "failed|broke off"),
}


@pytest.mark.parametrize(("home", "storage", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_download_that_gives_nothing_is_tried_again_later(
    home: bytes | None, storage: Any, told: str, serve: Serve, make: Connect
) -> None:
    there = serve(storage)
    api = make(serve(always(home or redirect(f"{there.url}/7"))).url, place(there))
    with pytest.raises(Transient, match=told):
        read(api)


@pytest.mark.parametrize("part", ["bytes 0-9/10", "bytes 6-9/10", "", "bytes 5-"])
def test_another_part_than_the_one_asked_for_is_not_taken(part: str, serve: Serve, make: Connect) -> None:
    storage = serve(always(answer("206 Partial Content", ZIP[5:], Content_Range=part)))
    with pytest.raises(Transient, match="another part of the file"):
        read(make(serve(always(redirect(f"{storage.url}/7"))).url, place(storage)), 5)


def test_an_endless_download_ends_at_the_deadline(serve: Serve, make: Connect) -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while not storage.stopped.wait(0.02):
            yield b"x"

    storage = serve(script)
    home = serve(always(redirect(f"{storage.url}/7")))
    with pytest.raises(Transient, match=r"not done after 0\.3 s"):
        read(make(home.url, place(storage), fetch_seconds=0.3))


def test_the_signature_of_a_download_is_logged_nowhere(
    serve: Serve, make: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    storage = serve(always(answer("500 Oops")))
    home = serve(always(redirect(f"{storage.url}/7?sig=s3cret")))
    with pytest.raises(Transient) as caught:
        read(make(home.url, place(storage)))
    assert "s3cret" not in caplog.text + str(caught.value)


def test_storage_that_is_gone_says_nothing_about_the_artifact(serve: Serve, make: Connect) -> None:
    storage = serve(always(says({"message": "Not Found"}, "410 Gone")))
    with pytest.raises(Transient):
        read(make(serve(always(redirect(f"{storage.url}/7"))).url, place(storage)))
    with pytest.raises(NotThere) as caught:
        read(make(serve(always(says({"message": "Expired"}, "410 Gone"))).url))
    assert caught.value.gone


# --- which hosts --------------------------------------------------------------------------------

ALLOWED = {
    "https://a.blob.example.com/x": True,
    "https://A.B.BLOB.example.com:443/x": True,
    "https://blob.example.com/x": False,
    "https://evilblob.example.com/x": False,
    "https://a.blob.example.com.evil.example/x": False,
    "https://a.blob.example.com@evil.example/x": False,
    "https://a.blob.example.com:8443/x": False,
    "http://a.blob.example.com/x": False,
    "https://evil.example/.blob.example.com": False,
    "https://evil.example?.blob.example.com": False,
}


@pytest.mark.parametrize(("location", "allowed"), ALLOWED.items(), ids=ALLOWED.keys())
def test_a_rule_for_many_hosts_covers_those_below_a_domain(location: str, allowed: bool) -> None:
    reach = Reach("https://api.example", [], unavailable, many=["*.blob.example.com"])
    if allowed:
        assert reach.follow("https://api.example/x", location) == location
    else:
        with pytest.raises(Transient):
            reach.follow("https://api.example/x", location)


def test_a_rule_for_many_hosts_is_for_https_even_where_home_is_not() -> None:
    reach = Reach("http://127.0.0.1:80", [], unavailable, many=["*.blob.example.com"])
    with pytest.raises(Transient, match="not allowed"):
        reach.follow("http://127.0.0.1/x", "http://a.blob.example.com:443/x")


@pytest.mark.parametrize(
    ("url", "known"),
    [("https://api.github.com", True), ("https://api.github.com/", True), ("https://x.ghe.com", False)],
)
@pytest.mark.parametrize("host", ["productionresultssa1.blob.core.windows.net", "x.actions.githubusercontent.com"])
def test_the_storage_of_github_com_is_known_for_github_com_only(
    url: str, known: bool, host: str, make: Connect
) -> None:
    storage = make(url)._storage
    if known:
        assert storage.follow(f"{url}/x", f"https://{host}/x?sig=1") == f"https://{host}/x?sig=1"
    else:
        with pytest.raises(Transient, match="not allowed"):
            storage.follow(f"{url}/x", f"https://{host}/x?sig=1")
