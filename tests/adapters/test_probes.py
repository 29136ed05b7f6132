"""Probes against real servers and programs: slow, wrong, hostile, absent."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.core.running import HealthSpec
from reconciler.errors import PolicyDenied
from reconciler.model import Probed
from reconciler.ports import Job, Probe
from reconciler.probes import answer as answers
from reconciler.probes import command, http, network, tcp
from reconciler.probes.hosts import HostsAllowance, place, read
from tests import jobs
from tests.adapters.servers import RESET, Request, ScriptedServer, answer, certificate
from tests.adapters.test_programs import alive, pid_in, soon

LOCAL = {"allow": [{"hosts": ["127.0.0.1:*", "[::1]:*", "localhost:*"], "environments": ["*"]}]}


def spec(**fields: Any) -> HealthSpec:
    return HealthSpec.model_validate_json(json.dumps({"timeout": "5s", **fields}))


def ask(probe: Probe, folder: Path, **fields: Any) -> Probed:
    return probe.probe(spec(**fields), Job(jobs.PROD, folder, {}, frozenset()))


def get(server: ScriptedServer, folder: Path, **fields: Any) -> Probed:
    return ask(http.create(LOCAL, jobs.parts(folder)), folder, http=f"{server.url}/", **fields)


def says(*parts: bytes) -> Callable[[Request], Iterator[bytes]]:
    return lambda request: iter(parts)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        pytest.param([answer("200 OK", b"x")], {}, id="200"),
        pytest.param([answer("204 No Content")], {}, id="204"),
        pytest.param([answer("418 Teapot")], {"status": [418]}, id="a status that is wanted"),
        pytest.param([answer("302 Found", Location="/x")], {"status": [302]}, id="a redirect that is wanted"),
        pytest.param([b"HTTP/1.0 200 OK\r\n\r\nall is well"], {"body": "is well"}, id="no length"),
        pytest.param([b"HTTP/1.1 200\nServer: x\n\nwell"], {"body": "well"}, id="bare line feeds, and no phrase"),
        pytest.param([b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", answer("200 OK")], {}, id="an interim answer first"),
        pytest.param([answer("200 OK", b"x" * 50_000 + b"ready")], {"body": "ready"}, id="a text far behind"),
        pytest.param([answer("200 OK", "größer".encode())], {"body": "größer"}, id="a text that is not ASCII"),
        pytest.param([CHUNKED, chunk(b"rea"), chunk(b"dy"), b"0\r\n\r\n"], {"body": "ready"}, id="over two chunks"),
        pytest.param([answer("200 OK", b"x" * 300_000)], {}, id="a body larger than what is read"),
        pytest.param([CHUNKED, *[chunk(b"x" * 9_000)] * 20], {}, id="endless chunks"),
    ],
)
def test_a_good_answer(tmp_path: Path, parts: list[bytes], fields: dict[str, Any]) -> None:
    with ScriptedServer(says(*parts)) as server:
        probed = get(server, tmp_path, **fields)
    assert probed.passed, probed.message
    assert probed.message.startswith("answered ")


@pytest.mark.parametrize(
    ("parts", "fields", "message"),
    [
        pytest.param([answer("503 No", b"secret")], {}, "answered 503 in ", id="another status"),
        pytest.param([answer("200 OK", b"ok")], {"status": [204]}, "answered 200 in ", id="not the one wanted"),
        pytest.param([answer("302 Found", Location="/ok")], {}, "redirects are not followed", id="a redirect"),
        pytest.param([answer("200 OK", b"secret")], {"body": "ready"}, "without the wanted text", id="another text"),
        pytest.param([answer("200 OK", b"x" * 65_536 + b"ready")], {"body": "ready"}, "in its first 64 KiB", id="late"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsec"], {}, "broke off before the end", id="short"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Le"], {}, "broke off before the end", id="half a head"),
        pytest.param([CHUNKED, b"5\r\nsec"], {}, "broke off before the end", id="half a chunk"),
        pytest.param([CHUNKED, b"many\r\n"], {}, "not HTTP as it should be", id="a chunk of no size"),
        pytest.param([CHUNKED, b"3\r\nsecret\r\n"], {}, "not HTTP as it should be", id="a chunk without an end"),
        pytest.param([], {}, "broke off before the end", id="no answer at all"),
        pytest.param([b"SSH-2.0-x\r\n\r\n"], {}, "not HTTP as it should be", id="another protocol"),
        pytest.param([b"HTTP/1.1 200 OK\r\n" + b"X: secret\r\n" * 9_000], {}, "not HTTP", id="an endless head"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n"] * 20, {}, "not HTTP", id="interim answers without an end"),
        pytest.param([CHUNKED, b"1;xxxxxxx\r\nx\r\n" * 60_000], {"body": "ready"}, "not HTTP", id="chunks of one byte"),
        pytest.param([CHUNKED, b"1;" + b"x" * 3_000], {}, "not HTTP", id="an endless line"),
        pytest.param([RESET], {}, "broke off the connection", id="a reset"),
    ],
)
def test_a_bad_answer_is_told_and_nothing_of_it_is_shown(
    tmp_path: Path, parts: list[bytes], fields: dict[str, Any], message: str
) -> None:
    with ScriptedServer(says(*parts)) as server:
        probed = get(server, tmp_path, **fields)
    assert not probed.passed
    assert message in probed.message
    assert "secret" not in probed.message


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with ScriptedServer(says(answer("302 Found", Location="/other"))) as server:
        get(server, tmp_path)
        assert [one.path for one in server.requests] == ["/"]


def test_one_plain_request_is_sent_and_the_connection_closed(tmp_path: Path) -> None:
    with ScriptedServer(says(answer("200 OK"))) as server:
        ask(http.create(LOCAL, jobs.parts(tmp_path)), tmp_path, http=f"{server.url}/%20/{{x}}?q=<a>&r=1")
        (request,), port = server.requests, server.port
    assert request.line == "GET /%20/%7Bx%7D?q=%3Ca%3E&r=1 HTTP/1.1"
    assert set(request.headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert request.headers["host"] == f"127.0.0.1:{port}"
    assert request.headers["user-agent"].startswith("reconciler/")
    assert request.headers["connection"] == "close"


def test_no_proxy_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(says(answer("200 OK"))) as server, ScriptedServer(says(answer("502 Proxy"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert get(server, tmp_path).passed
        assert not proxy.requests


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_of_one_byte_now_and_then_ends_at_the_timeout(tmp_path: Path, where: str) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500
    start = 0 if where == "head" else whole.index(b"xxx")

    def script(request: Request) -> Iterator[bytes]:
        yield whole[:start]
        for byte in whole[start:]:
            if server.stopped.wait(0.02):
                return
            yield bytes([byte])

    with ScriptedServer(script) as server:
        probed = get(server, tmp_path, timeout="0.3s")
    assert (probed.passed, probed.message) == (False, "no whole answer in 0.3 s")


def test_a_bad_status_is_told_before_its_body_comes(tmp_path: Path) -> None:
    def script(request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 500 No\r\nContent-Length: 500\r\n\r\n"
        server.stopped.wait(30)

    with ScriptedServer(script) as server:
        assert get(server, tmp_path).message.startswith("answered 500 in ")


def test_ipv6_and_localhost_are_asked(tmp_path: Path) -> None:
    probe = tcp.create(LOCAL, jobs.parts(tmp_path))
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert ask(probe, tmp_path, tcp=f"[::1]:{port}").passed
        assert ask(probe, tmp_path, tcp=f"localhost:{port}").passed


def test_an_http_service_on_ipv6_gets_its_host_with_brackets() -> None:
    assert b"\r\nHost: [::1]:8080\r\n" in http._read("http://[0:0::1]:8080/").request
    assert b"\r\nHost: [::1]\r\n" in http._read("https://[::1]").request
    assert b"\r\nHost: shop.internal\r\n" in http._read("http://Shop.Internal/").request


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def test_a_certificate_is_verified(tmp_path: Path, tls: tuple[Path, ssl.SSLContext]) -> None:
    trusting = http.create({**LOCAL, "ca_file": str(tls[0])}, jobs.parts(tmp_path))
    with ScriptedServer(says(answer("200 OK")), tls[1]) as server:
        assert "its certificate is not trusted" in get(server, tmp_path).message
        assert not server.requests
        assert ask(trusting, tmp_path, http=server.url).passed
        assert "is not trusted" in ask(trusting, tmp_path, http=f"https://localhost:{server.port}/").message


def test_a_port_without_tls_is_told(tmp_path: Path) -> None:
    def plain() -> None:
        with server.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(1_000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=plain)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        assert ask(http.create(LOCAL, jobs.parts(tmp_path)), tmp_path, http=url).message.startswith("TLS failed")
        thread.join(20)


def test_tls_that_never_comes_about_ends_at_the_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        probed = ask(http.create(LOCAL, jobs.parts(tmp_path)), tmp_path, http=url, timeout="0.2s")
    assert probed.message == "no whole answer in 0.2 s"


def test_a_ca_file_that_can_not_be_read_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no certificates in PEM"):
        http.create({"ca_file": str(tmp_path / "missing.pem")}, jobs.parts(tmp_path))


# --- names ------------------------------------------------------------------------------------------------


NAMED = {"allow": [{"hosts": ["*.example:80"], "environments": ["*"]}]}


def test_a_name_that_is_not_known_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    probed = ask(tcp.create(NAMED, jobs.parts(tmp_path)), tmp_path, tcp="shop.example:80")
    assert (probed.passed, probed.message) == (False, "the name shop.example can't be resolved")


def test_a_resolver_that_hangs_holds_nobody_beyond_the_timeout_and_few_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, looked_up = threading.Event(), []

    def hanging(host: str, *args: Any, **options: Any) -> list[Any]:
        looked_up.append(host)
        free.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr(network, "MOST_LOOKUPS", 2)
    probe = tcp.create(NAMED, jobs.parts(tmp_path))
    told = [ask(probe, tmp_path, tcp=f"{name}.example:80", timeout="0.1s").message for name in "aabc"]
    free.set()
    assert looked_up == ["a.example", "b.example"]
    assert all("was not resolved in 0.1 s" in one for one in told[:3])
    assert told[3] == "the name c.example was not looked up: 2 others are"


def test_every_address_of_a_name_gets_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [(0, 0, 0, "", (one, 0)) for one in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        allowed = {"allow": [{"hosts": ["shop.example:*"], "environments": ["*"]}]}
        assert ask(tcp.create(allowed, jobs.parts(tmp_path)), tmp_path, tcp=f"shop.example:{port}").passed


# --- what the operator allows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1:*", "127.0.0.1:1"),
        ("127.0.0.*:*", "127.0.0.99:1"),
        ("[::1]:8080", "[0:0:0::1]:8080"),
        ("[0:0::1]:*", "[::1]:1"),
        ("*.internal:443", "a.b.internal:443"),
        ("Shop.Internal:443", "shop.internal.:443"),
        ("*:*", "anything:1"),
        ("*:*", "10.0.0.1:1"),
    ],
)
def test_a_host_that_is_allowed(pattern: str, host: str) -> None:
    assert HostsAllowance(hosts=(pattern,), environments=("*",)).names(read(host))


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8081"),
        ("127.0.0.1:*", "127.1:1"),
        ("127.0.0.1:*", "localhost:1"),
        ("127.0.0.1:*", "0x7f000001:1"),
        ("127.0.0.1:*", "[::ffff:127.0.0.1]:1"),
        ("10.0.0.*:*", "10.0.0.somebody.example:1"),
        ("*.internal:443", "internal:443"),
        ("*.internal:443", "a.internal.example:443"),
        ("[::1]:*", "1:1"),
    ],
)
def test_a_host_that_is_not_allowed(pattern: str, host: str) -> None:
    assert not HostsAllowance(hosts=(pattern,), environments=("*",)).names(read(host))


@pytest.mark.parametrize(
    "pattern", ["127.0.0.1", "http://a:1", "a:0", "a:65536", "a:b", "[x]:1", "[1.2]:1", "a b:1", ":1"]
)
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(ValidationError):
        HostsAllowance(hosts=(pattern,), environments=("*",))


def test_what_is_no_address_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    """The declaration is judged before; a plug-in's caller may be less strict."""
    options = {"allow": [{"hosts": ["*:*"], "environments": ["*"]}]}
    parts, given = jobs.parts(tmp_path), spec(tcp="shop:1")
    with pytest.raises(PolicyDenied, match=r"health\.tcp names can't be asked: there is no port 99999"):
        tcp.create(options, parts).allow(jobs.PROD, given.model_copy(update={"tcp": "shop:99999"}))
    for bad in ("http://[::1/", "http://a:b/", "http://a:99999/", "http:///"):
        with pytest.raises(PolicyDenied, match=r"health\.http names can't be asked"):
            http.create(options, parts).allow(jobs.PROD, given.model_copy(update={"http": bad}))


def test_one_host_has_one_form() -> None:
    assert str(place("[::0:1]", 80)) == "[::1]:80"
    assert place("LOCALHOST.", 80).literal == ("127.0.0.1", "::1")
    assert place("shop.example", 80).literal == ()


# --- commands -----------------------------------------------------------------------------------------------


def run(folder: Path, script: str, **fields: Any) -> Probed:
    release = jobs.release(folder, check=script)
    probe = command.create({"allow": [{"argv": ["*", "**"], "environments": ["*"]}]}, jobs.parts(folder))
    job = jobs.job(release, {"TOKEN": "hunter2"}, frozenset({"hunter2"}))
    return probe.probe(spec(**{"command": ["./bin/check"], **fields}), job)


def test_a_command_runs_in_the_release_with_its_variables(tmp_path: Path) -> None:
    script = 'test "$TOKEN" = hunter2 && test -x bin/check && test "$RECONCILER_ENVIRONMENT" = shop/prod'
    assert run(tmp_path, script).passed


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo one; echo two; exit 3", "ended with 3 in "),
        ("kill -9 $$", "was ended by signal 9 in "),
        ("sleep 60", "did not end in 0.3 s"),
    ],
)
def test_how_a_command_failed_is_told(tmp_path: Path, script: str, message: str) -> None:
    probed = run(tmp_path, script, timeout="0.3s")
    assert not probed.passed
    assert probed.message.startswith(message)


def test_nothing_that_a_failed_command_printed_is_shown(tmp_path: Path) -> None:
    """It can read its secrets from the delivered file, and nobody here knows what to mask."""
    probed = run(tmp_path, "echo said-something; echo said-more >&2; exit 1")
    assert not probed.passed
    assert "said" not in probed.message


def test_a_command_leaves_nothing_running(tmp_path: Path) -> None:
    assert run(tmp_path, "sleep 600 & echo $! >../../child").passed
    soon(lambda: not alive(pid_in(tmp_path / "child")))


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "./bin/missing" in run(tmp_path, "", command=["./bin/missing"]).message


def test_a_program_that_can_not_be_started_is_told(tmp_path: Path) -> None:
    release = jobs.release(tmp_path, check="")
    (release / "bin/check").write_text("#!/no/such/shell\n")
    probe = command.create({"allow": [{"argv": ["*"], "environments": ["*"]}]}, jobs.parts(tmp_path))
    probed = probe.probe(spec(command=["./bin/check"]), jobs.job(release))
    assert probed.message == "./bin/check can't be started: No such file or directory"


def test_the_reader_of_answers_takes_bytes_as_they_come() -> None:
    """One by one: no piece of an answer has to come whole."""
    whole = CHUNKED + chunk(b"hello") + b"0\r\n\r\n"
    stream = iter([whole[at : at + 1] for at in range(len(whole))])
    found = answers.read(lambda: next(stream, b""), (200,))
    assert (found.status, found.body) == (200, b"hello")


@pytest.mark.parametrize(
    ("number", "told"),
    [(0.00004, "0.0 ms"), (0.00086, "0.9 ms"), (0.0096, "9.6 ms"), (0.012, "0.012 s"), (3.52, "3.5 s"), (61.0, "61 s")],
)
def test_times_are_told_in_a_unit_that_people_read(number: float, told: str) -> None:
    assert network.seconds(number) == told
