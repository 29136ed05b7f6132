"""As whom GitHub is asked: rotation, Apps, and that nothing secret comes out anywhere."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from reconciler.errors import Reason, Transient
from reconciler.github import Api, GitHubOptions, Refused
from reconciler.github.exchange import Reply
from tests.adapters.githubs import TOKEN, VARIABLE, Connect, Later, Serve, always, client, error, says
from tests.adapters.servers import Request, ScriptedServer

KEY = "GITHUB_TEST_KEY"
APP = {"app": {"id": "Iv23example", "installation": 9, "key_env": KEY}}


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

    def make(url: str, options: dict[str, Any] | None = None, hosts: tuple[str, ...] = (), **bounds: Any) -> Api:
        return client(url, tmp_path, options or {}, clock, list(hosts), bounds)

    return make


# --- tokens -------------------------------------------------------------------------------------


def shown(server: ScriptedServer) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in server.requests]


def test_a_rotated_token_is_used_from_the_next_request_on(serve: Serve, make: Connect, tmp_path: Path) -> None:
    server = serve(always(says([])))
    file = tmp_path / "token"
    api = make(server.url, {"token_file": str(file)})
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        api.get("/x")
    assert shown(server) == ["first", "second"]


def test_a_token_that_is_rotated_while_it_is_in_use_costs_one_more_request(
    serve: Serve, make: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    def script(request: Request) -> Iterator[bytes]:
        file.write_text("new")
        yield says([1], "201 Created") if request.headers["authorization"] == "Bearer new" else error("401 No")

    server = serve(script)
    assert make(server.url, {"token_file": str(file)}).post("/x", {}) == [1]
    assert shown(server) == ["old", "new"]


def test_a_token_that_is_refused_is_not_shown_again_at_once(serve: Serve, make: Connect) -> None:
    server = serve(always(error("401 Unauthorized")))
    with pytest.raises(Transient) as caught:
        make(server.url).get("/x")
    assert len(server.requests) == 1
    assert "expired, revoked" in caught.value.hint


@pytest.mark.parametrize(
    "content", [None, "", "two words", f"{TOKEN}\r\nX-Evil: 1", TOKEN * 2_000],
    ids=["absent", "empty", "words", "a header", "too long"],
)  # fmt: skip
def test_a_token_that_can_not_be_one_is_told_by_its_place_only(
    content: str | None, serve: Serve, make: Connect, tmp_path: Path
) -> None:
    server = serve(always(says([])))
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, newline="")
    with pytest.raises(Transient, match=str(file)) as caught:
        make(server.url, {"token_file": str(file)}).get("/x")
    assert TOKEN not in str(caught.value)
    assert server.requests == []


# --- Apps ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(autouse=True)
def pem(key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> str:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    monkeypatch.setenv(KEY, text)
    return text


class Hub:
    """GitHub as an App sees it: verifies each proof, gives out tokens for an hour, and takes only the last one."""

    def __init__(self, serve: Serve, key: rsa.RSAPrivateKey, clock: Later, minutes: float = 60) -> None:
        self.issued = 0
        self.deaf = False
        self.good: set[str] = set()
        self.problems: list[str] = []
        self._key = key.public_key()
        self._clock = clock
        self._life = timedelta(minutes=minutes)
        self.server = serve(self._script)

    def _script(self, request: Request) -> Iterator[bytes]:
        shown = request.headers["authorization"].removeprefix("Bearer ")
        if request.line == "POST /api/v3/app/installations/9/access_tokens HTTP/1.1":
            self._verify(shown)
            self.issued += 1
            self.good = {f"ghs_{TOKEN}_{self.issued}"}
            end = (self._clock.now() + self._life).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield says({"token": next(iter(self.good)), "expires_at": end, "permissions": {}}, "201 Created")
        else:
            yield (
                says([self.issued], ETag="x")
                if shown in self.good and not self.deaf
                else error("401 Unauthorized", "Bad credentials")
            )

    def _verify(self, proof: str) -> None:
        now = self._clock.now().timestamp()
        # Its own look at the times: the clock of the test is not the one that the library reads.
        claims = jwt.decode(proof, self._key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
        if set(claims) != {"iat", "exp", "iss"} or claims["iss"] != "Iv23example":
            self.problems.append(f"claims {claims}")
        if not -65 < claims["iat"] - now < -55 or not 500 < claims["exp"] - now <= 540:
            self.problems.append(f"times {claims} at {now}")


@pytest.fixture
def hub(serve: Serve, key: rsa.RSAPrivateKey, clock: Later) -> Iterator[Hub]:
    hub = Hub(serve, key, clock)
    yield hub
    assert hub.problems == []


def test_an_app_gets_a_token_and_keeps_it(hub: Hub, make: Connect) -> None:
    api = make(hub.server.url + "/api/v3", APP)
    assert api.requests == 0
    assert api.get("/x") == api.get("/x") == [1]
    assert (hub.issued, api.requests) == (1, 3)


def test_a_token_of_an_app_is_replaced_five_minutes_before_its_end(hub: Hub, make: Connect, clock: Later) -> None:
    api = make(hub.server.url + "/api/v3", APP)
    api.get("/x")
    clock.ahead = timedelta(minutes=54)
    assert api.get("/x") == [1]
    clock.ahead = timedelta(minutes=56)
    assert api.get("/x") == [2]
    assert hub.issued == 2


def test_a_token_of_an_app_that_was_revoked_is_replaced_once(hub: Hub, make: Connect) -> None:
    api = make(hub.server.url + "/api/v3", APP)
    api.get("/x")
    hub.good.clear()
    assert api.get("/x") == [2]
    assert api.requests == 5


def test_an_app_whose_tokens_are_all_refused_stops_after_the_second(hub: Hub, make: Connect) -> None:
    hub.deaf = True
    api = make(hub.server.url + "/api/v3", APP)
    with pytest.raises(Transient, match="answers 401: Bad credentials"):
        api.get("/x")
    with pytest.raises(Refused):
        api.post("/x", {})
    assert (hub.issued, api.requests) == (3, 7)


def test_many_threads_get_one_token_between_them(hub: Hub, make: Connect) -> None:
    api = make(hub.server.url + "/api/v3", APP)
    threads = [threading.Thread(target=api.get, args=("/x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (hub.issued, api.requests) == (1, 9)


def test_the_key_of_an_app_may_be_in_a_file_and_is_read_anew(hub: Hub, make: Connect, tmp_path: Path, pem: str) -> None:
    file = tmp_path / "key.pem"
    api = make(hub.server.url + "/api/v3", {"app": {**APP["app"], "key_env": None, "key_file": str(file)}})
    with pytest.raises(Transient, match=str(file)):
        api.get("/x")
    file.write_text(pem)
    assert api.get("/x") == [1]


def keys(key: rsa.RSAPrivateKey) -> dict[str, str]:
    def text(one: Any, lock: Any = None) -> str:
        lock = lock or NoEncryption()
        return str(one.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode())

    return {
        "absent": "",
        "no key": f"-----BEGIN RSA PRIVATE KEY-----\n{TOKEN}\n-----END RSA PRIVATE KEY-----\n",
        "of another kind": text(ec.generate_private_key(ec.SECP256R1())),
        "with a passphrase": text(key, BestAvailableEncryption(b"s3cret")),
    }


@pytest.mark.parametrize("kind", ["absent", "no key", "of another kind", "with a passphrase"])
def test_a_key_that_can_not_be_used_is_told_by_its_place_only(
    kind: str, key: rsa.RSAPrivateKey, serve: Serve, make: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, keys(key)[kind])
    server = serve(always(says([])))
    with pytest.raises(Transient, match=f"the environment variable {KEY} holds no RSA private key") as caught:
        make(server.url, APP).get("/x")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


GOOD = {"token": "ghs_x", "expires_at": "2099-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (error("401 Unauthorized", "A JSON web token could not be decoded"), "answers 401: A JSON web token"),
        (error("404 Not Found", "Not Found"), "answers 404: Not Found"),
        (error("403 Forbidden", "This installation has been suspended"), "answers 403: This installation"),
        (error("500 Oops"), "answers 500"),
        (says(GOOD), "answers 200"),
        (says({**GOOD, "token": "a b"}, "201 Created"), "token"),
        (says({**GOOD, "token": ""}, "201 Created"), "token"),
        (says({**GOOD, "expires_at": "soon"}, "201 Created"), "expires_at"),
        (says({"token": "ghs_x"}, "201 Created"), "expires_at: Field required"),
        (says([], "201 Created"), "the answer"),
    ],
)
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
def test_an_app_that_gets_no_token_asks_for_nothing_else(
    data: bytes, told: str, write: bool, serve: Serve, make: Connect
) -> None:
    server = serve(always(data))
    api = make(server.url, APP)
    with pytest.raises(Transient, match=told) as caught:
        api.post("/x", {}) if write else api.get("/x")
    assert caught.value.reason is Reason.FORGE_UNAVAILABLE
    assert caught.value.hint
    assert [request.path for request in server.requests] == ["/app/installations/9/access_tokens"]


def test_the_number_of_an_app_is_its_issuer_as_a_text(serve: Serve, make: Connect) -> None:
    server = serve(always(error("401 Unauthorized")))
    with pytest.raises(Transient):
        make(server.url, {"app": {**APP["app"], "id": 7}}).get("/x")
    (proof,) = shown(server)
    assert jwt.decode(proof, options={"verify_signature": False})["iss"] == "7"


# --- secrets ------------------------------------------------------------------------------------

FAULTS = {
    "refused": error("401 Unauthorized", f"bad {TOKEN}"),
    "forbidden": error("403 Forbidden", f"bad {TOKEN}"),
    "broken": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n[",
    "limited": error("429 Too Many", f"bad {TOKEN}"),
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/x?t=" + TOKEN.encode() + b"\r\n\r\n",
    "gone": error("404 Not Found", f"bad {TOKEN}"),
    "reset": b"",
    "well": says([]),
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("what", ["get", "pages", "post", "download"])
def test_a_secret_is_in_no_error_no_log_and_no_repr(
    data: bytes, what: str, serve: Serve, make: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    api = make(serve(always(data)).url)
    arguments: dict[str, Any] = {"post": {"body": {}}, "download": {"offset": 0}}
    told = []
    try:
        result = getattr(api, what)("/x", **arguments.get(what, {}))
        if what == "download":
            result.__enter__()
    except Exception as problem:  # noqa: BLE001 - whichever it is
        told = [repr(problem), str(vars(problem)), *traceback.format_exception(problem)]
    assert TOKEN not in "".join(told)
    assert TOKEN not in caplog.text
    held = [api, *vars(api).values(), *vars(api._exchange).values(), *vars(api._exchange._recall).values()]
    assert TOKEN not in repr(held)
    assert TOKEN not in repr(Reply("https://api.example/x", 200, token=TOKEN))


def test_a_token_of_an_app_is_in_no_repr(hub: Hub, make: Connect, pem: str) -> None:
    api = make(hub.server.url + "/api/v3", APP)
    api.get("/x")
    held: Any = api._credential
    told = repr([vars(held), held._issued, held._key])
    assert "ghs_" not in told
    assert pem[40:60] not in told


def test_options_hold_no_secret() -> None:
    options = GitHubOptions.model_validate({"repository": "a/b", **APP})
    assert json.loads(options.model_dump_json())["app"]["key_env"] == KEY
