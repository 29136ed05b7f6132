"""Who may read pages, API and live events, over real sockets: the loopback by our own name, else who proves it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Reason, Terminal
from reconciler.model import EnvironmentName
from reconciler.views.facts import Facts
from reconciler.web import Places, Taken, check, open_listener
from reconciler.web.access import MISS_SECONDS, MISSES, Misses
from tests.adapters.weblistener import LIMITS, TRACKED, Journal, Reading
from tests.views_samples import sampled

TOKEN, OTHER = "a token of these tests", "another token of them"
READ = ("/", "/api/v1/environments", "/api/v1/openapi.json", "/events", "/audit/export", "/static/app.css", "/nothing")
OPEN = ("/livez", "/readyz", "/healthz", "/metrics")
Serve = Callable[..., Reading]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    with sampled(tmp_path_factory.mktemp("facts"), 3, mood="mixed") as found:
        yield found


@pytest.fixture
def serve(facts: Facts) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **places: stack.enter_context(Reading(facts, lambda: b"# metrics\n", **places).serving())


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n{OTHER}\n")
    return file


def basic(password: str, user: str = "anybody") -> str:
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def status(web: Reading, path: str, *lines: str, host: str = "") -> int:
    client = web.client()
    with client.socket:
        web.head(client, path, *lines, host=host)
        return int(client.socket.recv(12).split()[1])  # of /events no more is ever read


# --- the loopback -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:80", "[::1]:8080", "127.0.0.53", "localhost."])
def test_on_the_loopback_everybody_may_read_who_asks_by_a_name_of_ours(host: str, serve: Serve) -> None:
    assert status(serve(), "/api/v1/environments", host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1", "[::2]", "x"]
)
def test_a_page_of_somebody_else_can_t_make_a_browser_read_by_a_name_of_its_own(host: str, serve: Serve) -> None:
    web = serve()
    assert {status(web, path, host=host) for path in READ} == {403}
    assert {status(web, path, host=host) for path in OPEN} == {200}
    refused = json.loads(web.ask("/api/v1/events", host=host).body)
    assert (refused["kind"], refused["reason"]) == ("Error", "HostNotAllowed")
    assert "web.url" in refused["hint"]


def test_the_address_that_people_use_is_a_name_of_ours(serve: Serve) -> None:
    web = serve(url="https://deploy.example.com/reconciler")
    assert status(web, "/api/v1/events", host="deploy.example.com") == 200
    assert status(web, "/api/v1/events", host="example.com") == 403


def test_what_a_proxy_brings_to_the_loopback_is_not_from_the_loopback(serve: Serve) -> None:
    for line in ("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1", "Via: 1.1 proxy"):
        assert status(serve(), "/", line) == 403
    assert status(serve(url="https://deploy.example.com"), "/", "X-Forwarded-For: 192.0.2.1") == 200


BEHIND_A_BACK = ["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"]
IN_A_FRAME = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"]
LISTENING = ["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"]
A_LINK = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("how", [BEHIND_A_BACK, IN_A_FRAME, LISTENING, []])
def test_a_page_of_another_site_can_ask_for_nothing_behind_a_person_s_back(
    site: str, how: list[str], serve: Serve, tokens: Path
) -> None:
    for web in (serve(), serve(token_file=tokens)):
        lines = (f"Sec-Fetch-Site: {site}", *how, bearer(TOKEN))
        assert {status(web, path, *lines) for path in READ} == {403}
        assert {status(web, path, *lines) for path in OPEN} == {200}
        refused = json.loads(web.ask("/events", *lines).body)
        assert (refused["kind"], refused["reason"]) == ("Error", "OtherSite")


def test_a_link_from_anywhere_leads_here_and_our_own_pages_ask_for_anything(serve: Serve) -> None:
    web = serve()
    assert status(web, "/", "Sec-Fetch-Site: cross-site", *A_LINK) == 200
    for site in ("same-origin", "none"):
        for how in (BEHIND_A_BACK, LISTENING, A_LINK):
            assert status(web, "/events", f"Sec-Fetch-Site: {site}", *how) == 200


# --- elsewhere ----------------------------------------------------------------------------------


def test_on_more_than_the_loopback_nobody_may_read_before_somebody_says_who(serve: Serve) -> None:
    web = serve(listen="0.0.0.0:0")
    assert {status(web, path) for path in READ} == {403}
    assert {status(web, path) for path in OPEN} == {200}
    refused = json.loads(web.ask("/api/v1/events").body)
    assert refused["reason"] == "AccessNotSet"
    assert all(key in refused["hint"] for key in ("web.token_file", "web.trusted_header", "web.trusted_proxies"))
    page = web.ask("/", "Accept: text/html")
    assert page.headers["content-type"].startswith("text/html")
    assert "web.token_file" in page.body.decode()


def test_a_token_lets_in_as_a_bearer_and_as_a_password_also_from_elsewhere(serve: Serve, tokens: Path) -> None:
    web = serve(listen="0.0.0.0:0", token_file=tokens)
    for line in (bearer(TOKEN), bearer(OTHER), basic(TOKEN), basic(OTHER, ""), f"authorization: bEARER  {TOKEN}"):
        assert status(web, "/api/v1/events", line, host="deploy.example.com") == 200
    assert status(web, "/events", basic(TOKEN)) == 200


def test_a_token_that_is_set_counts_on_the_loopback_too(serve: Serve, tokens: Path) -> None:
    web = serve(token_file=tokens)
    assert {status(web, path) for path in READ} == {401}
    assert {status(web, path) for path in OPEN} == {200}
    asked = web.ask("/", "Accept: text/html")
    assert asked.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Authorization: Bearer"],
        [bearer("")],
        [bearer(TOKEN[:-1])],
        [bearer(TOKEN + "x")],
        [bearer(TOKEN.upper())],
        [basic("")],
        ["Authorization: Basic !!!!"],
        [f"Authorization: Basic {base64.b64encode(TOKEN.encode()).decode()}"],
        [basic("x", TOKEN)],
        [f"Authorization: Digest {TOKEN}"],
        [bearer(TOKEN), bearer(OTHER)],
        [f"Cookie: token={TOKEN}"],
    ],
)
def test_anything_else_is_refused(lines: list[str], serve: Serve, tokens: Path) -> None:
    answer = serve(token_file=tokens).ask("/api/v1/events", *lines)
    assert (answer.status, json.loads(answer.body)["kind"]) == (401, "Error")
    assert TOKEN.encode() not in answer.body


def test_tokens_rotate_without_a_restart_and_none_counts_while_they_can_t_be_read(serve: Serve, tokens: Path) -> None:
    web = serve(token_file=tokens)
    tokens.write_text("the next token of all\n")
    assert (status(web, "/", bearer(TOKEN)), status(web, "/", bearer("the next token of all"))) == (401, 200)
    tokens.write_text("short\n")
    assert status(web, "/", bearer("short")) == 503
    assert "fewer than 16 characters" in str(web.journal.troubles[-1])
    tokens.unlink()
    assert status(web, "/", bearer(TOKEN)) == 503


def test_who_guesses_tokens_is_not_listened_to_any_more(serve: Serve, tokens: Path) -> None:
    web = serve(token_file=tokens)
    guesses = [status(web, "/", bearer(f"a wrong token, number {number}")) for number in range(MISSES + 2)]
    assert guesses == [401] * MISSES + [429] * 2
    answer = web.ask("/api/v1/events", bearer(TOKEN))
    assert (answer.status, 0 < int(answer.headers["retry-after"]) <= MISS_SECONDS) == (429, True)


def test_who_guesses_tokens_locks_out_nobody_who_came_in_from_the_same_address(serve: Serve, tokens: Path) -> None:
    web = serve(token_file=tokens)
    assert status(web, "/", bearer(TOKEN)) == 200
    for number in range(MISSES + 1):
        status(web, "/", bearer(f"a wrong token, number {number}"))
    assert [status(web, "/", bearer(one)) for one in (TOKEN, OTHER, "a wrong token again")] == [200, 429, 429]
    tokens.write_text(f"{OTHER}\n")  # what was right once is not right for ever
    assert status(web, "/", bearer(TOKEN)) == 401


def test_wrong_tokens_are_forgiven_one_by_one_and_count_for_one_address() -> None:
    now = [100.0]
    misses = Misses(lambda: now[0])
    for _ in range(MISSES):
        misses.add("2001:db8::1")
    assert misses.wait("2001:db8::ffff") > 0  # the same party has all of these
    assert misses.wait("2001:db8:0:1::1") == 0
    now[0] += MISS_SECONDS
    assert misses.wait("2001:db8::1") == 0
    misses.add("2001:db8::1")
    assert misses.wait("2001:db8::1") > 0
    for number in range(2_000):
        misses.add(f"10.0.{number // 250}.{number % 250}")
        misses.hit(f"10.0.{number // 250}.{number % 250}", b"a token")
    assert max(len(misses._debts), len(misses._hits)) <= 1_024


@pytest.mark.parametrize("path", ["/metrics", "/api/webhook/github"])
def test_an_address_that_is_open_and_that_nothing_answers_tells_nobody_what_is_here(
    path: str, facts: Facts, tokens: Path
) -> None:
    status = next(iter(facts.statuses().values()))
    near = {EnvironmentName(name): status for name in ("metrics", "api/webhook/github")}
    with Reading(replace(facts, statuses=lambda: near), token_file=tokens).serving() as web:
        answer = web.ask(path, "Accept: text/html")
        assert answer.status == 404
        assert b"environments/" not in answer.body


# --- behind a proxy -----------------------------------------------------------------------------


def test_a_trusted_proxy_says_who_asks_and_nobody_else_can(serve: Serve) -> None:
    behind = serve(trusted_header="X-Forwarded-User", trusted_proxies=("127.0.0.0/8", "::1"))
    user = "X-Forwarded-User: mona"
    assert status(behind, "/api/v1/events", user) == 200
    assert status(behind, "/api/v1/events", user, host="evil.example") == 403  # a browser on the proxy's machine
    for lines in ([], ["X-Forwarded-User: "], [user, user], ["X-Remote-User: mona"]):
        assert status(behind, "/api/v1/events", *lines) == 403
    elsewhere = serve(trusted_header="X-Forwarded-User", trusted_proxies=("10.0.0.0/8",))
    assert status(elsewhere, "/api/v1/events", user, "X-Forwarded-For: 10.0.0.1") == 403


def test_beside_a_proxy_a_token_lets_in_too(serve: Serve, tokens: Path) -> None:
    web = serve(trusted_header="X-User", trusted_proxies=("10.0.0.1",), token_file=tokens)
    assert (status(web, "/", "X-User: mona"), status(web, "/", bearer(TOKEN))) == (401, 200)


# --- the settings -------------------------------------------------------------------------------


def test_check_says_what_is_open_to_whom(tokens: Path) -> None:
    told = {
        "open to everybody on this machine": Places("127.0.0.1:0"),
        "refused to everybody": Places("0.0.0.0:0"),
        "open with 2 tokens": Places("127.0.0.1:0", token_file=tokens),
        "open behind 10.0.0.0/8, which names people in X-User": Places(
            "0.0.0.0:0", trusted_header="X-User", trusted_proxies=("10.0.0.0/8",)
        ),
    }
    assert [said for said, places in told.items() if said not in check(places, taken=False)] == []


def test_check_names_a_file_of_tokens_that_everybody_can_read(tokens: Path) -> None:
    tokens.chmod(0o640)
    assert "chmod" not in check(Places("127.0.0.1:0", token_file=tokens), taken=False)
    tokens.chmod(0o644)
    assert f"{tokens}: chmod 600" in check(Places("127.0.0.1:0", token_file=tokens), taken=False)


def test_settings_that_contradict_each_other_are_refused(tokens: Path, tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    weak.write_text("hunter2\n")
    for places, said in (
        (Places("127.0.0.1:0", token_file=weak), "web.token_file: "),
        (
            Places("127.0.0.1:0", token_env="UNSET_TOKEN", token_file=tokens),
            "web.token_env or web.token_file, not both",
        ),
        (Places("127.0.0.1:0", trusted_header="X-User"), "web.trusted_header and web.trusted_proxies"),
        (Places("127.0.0.1:0", trusted_proxies=("10.0.0.1",)), "web.trusted_header and web.trusted_proxies"),
        (Places("127.0.0.1:0", trusted_header="X-User", trusted_proxies=("10.0.0.1", "::/0")), "every address"),
        (
            Places("127.0.0.1:0", trusted_header="X-Forwarded-For", trusted_proxies=("10.0.0.1",)),
            "is sent whoever asks",
        ),
    ):
        with pytest.raises(Terminal) as refused:
            check(places, taken=False)
        assert refused.value.reason is Reason.INVALID_SETTINGS
        assert said in refused.value.message
        assert "hunter2" not in refused.value.message


def test_an_address_that_nobody_chose_and_that_is_taken_is_no_mistake(serve: Serve, facts: Facts) -> None:
    address = f"127.0.0.1:{serve().port}"
    with pytest.raises(Taken) as told:
        open_listener(Places(address, chosen=False), TRACKED, LIMITS, None, Journal(), None, facts)  # type: ignore[arg-type]
    assert "so there are no pages" in told.value.message
    assert "web.listen" in told.value.hint
    assert "so there are no pages" in check(Places(address, chosen=False), taken=False)
    with pytest.raises(Terminal, match="can't be had"):
        check(Places(address), taken=False)
