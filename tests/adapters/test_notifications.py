"""Notifications on real channels: what arrives, what becomes of hostile text, and what a bad channel can't do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from reconciler.core.notifying import USUAL, Route
from reconciler.errors import Reason, Terminal, Transient
from reconciler.model import EnvironmentName, Notice, NoticeKind
from reconciler.net import Secret
from reconciler.notifications import post, words
from reconciler.notifications.addresses import BadAddress, kind_of
from reconciler.notifications.channel import PROGRAM, Channel, NotSent
from reconciler.notifications.words import Page, inert
from reconciler.settings import Settings
from reconciler.wiring.notifying import open_routes
from tests.adapters.servers import Request, Script, ScriptedServer, answer
from tests.canaries import leaks, listed
from tests.core.test_notifying import AWAY, CHANGED, FAILURE, PROD, UNAPPROVED, UNHEALTHY, held, well
from tests.factories import NOON

CANARY = "canary-9f86d081"
PAGE = Page("https://deploy.example.com")
ROUTE = Route("oncall", ("*/prod",), frozenset(USUAL), timedelta(hours=1), 30)
HOSTILE = (
    "<!channel> @here <https://evil.example|x> [a](https://evil.example) www.evil.example <at>boss</at> "
    "<img src=x>\r\nSubject: other\x1b[2J\u202e mailto:a@b.example"
)
NOTICE = Notice(
    UNAPPROVED.environment,
    NoticeKind.HELD,
    replace(UNAPPROVED, message=HOSTILE, hint=f"ask {HOSTILE}", request="#7", approvers=(HOSTILE,)),
)
MESSAGE = words.message(ROUTE, [NOTICE], PAGE, NOON)
OK = answer("200 OK", b"ok")


def _unavailable(message: str, hint: str) -> Transient:
    return Transient(Reason.INVALID_SETTINGS, message, hint)


def channel(folder: Path, address: str, seconds: float = 30.0) -> Channel:
    """A channel whose address stands in a file."""
    place = folder / "address"
    place.write_text(address + "\n")
    return Channel("oncall", Secret("the address", _unavailable, None, place), seconds)


def says(data: bytes) -> Script:
    def script(_: Request) -> Iterator[bytes]:
        yield data

    return script


@contextmanager
def mail_server() -> Iterator[tuple[int, list[Mail]]]:
    """A mail server; its port, and what arrived."""
    arrived: list[Mail] = []

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
            arrived.append(message_from_bytes(envelope.content))  # type: ignore[attr-defined]
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        controller.port = free.getsockname()[1]
    controller.start()
    try:
        yield controller.port, arrived
    finally:
        controller.stop()


# --- what arrives ---------------------------------------------------------------------------------


def test_a_webhook_gets_the_documented_body_and_the_address_is_in_no_argument_list(tmp_path: Path) -> None:
    notice = Notice(UNAPPROVED.environment, NoticeKind.HELD, replace(UNAPPROVED, message="nobody", approvers=("ann",)))
    with ScriptedServer(says(OK)) as server, listed() as seen:
        address = f"json://user:{CANARY}@127.0.0.1:{server.port}/{CANARY}?+X-Team=ops"
        channel(tmp_path, address).send(words.message(ROUTE, [notice], PAGE, NOON))
    (request,) = server.requests
    assert (request.method, request.path, request.headers["x-team"]) == ("POST", f"/{CANARY}", "ops")
    assert json.loads(request.body) == {
        "apiVersion": "reconciler/v1",
        "kind": "Notification",
        "route": "oncall",
        "sentAt": "2026-03-01T12:00:00Z",
        "test": False,
        "count": 1,
        "items": [
            {
                "environment": "shop/prod",
                "event": "held",
                "reminder": False,
                "sync": "Held",
                "health": "Healthy",
                "reason": "ApprovalMissing",
                "message": "nobody",
                "hint": "",
                "since": "2026-03-01T12:00:00Z",
                "declared": {"commit": "d" * 40, "runId": 102, "sha256": f"{102:064x}"},
                "live": {
                    "release": "101-x",
                    "runId": 101,
                    "sha256": f"{101:064x}",
                    "since": "2026-03-01T12:00:00Z",
                    "request": "",
                    "approvers": ["ann"],
                },
                "drift": 0,
                "url": "https://deploy.example.com/environments/shop/prod",
            }
        ],
    }
    assert any(PROGRAM.encode() in one for one in seen)
    assert not [one for one in seen if leaks(one, [CANARY.encode()])]


def test_a_mail_is_plain_text_with_one_subject(tmp_path: Path) -> None:
    with mail_server() as (port, arrived):
        address = f"mailto://127.0.0.1:{port}?from=deploy@example.com&to=ops@example.com&mode=insecure"
        channel(tmp_path, address).send(MESSAGE)
    (mail,) = arrived
    assert (mail["To"], mail.get_all("Subject")) == ("ops@example.com", ["shop/prod is Held: ApprovalMissing"])
    assert mail.get_content_type() == "text/plain"
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert "https://deploy.example.com/environments/shop/prod" in body.decode()
    assert_inert(body.decode())


def assert_inert(text: str) -> None:
    """Nothing in a text that a chat or a mail program would make something of, but our own page."""
    rest = text.replace("https://deploy.example.com/environments/shop/prod", "")
    for active in ("://", "www.", "<", "@here", "](http", "mailto:a", "\x1b", "\u202e", "\nSubject:"):
        assert active not in rest


def test_slack_makes_neither_links_nor_mentions_of_what_others_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.slack import NotifySlack

    with ScriptedServer(says(OK)) as server:
        monkeypatch.setattr(NotifySlack, "webhook_url", server.url)
        native = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
        assert post.send(request(native, MESSAGE.text())) == ""
    said = json.loads(server.requests[0].body)
    assert said["mrkdwn"] is False
    (attachment,) = said["attachments"]
    assert attachment["title"] == "shop/prod is Held: ApprovalMissing"
    assert_inert(attachment["text"])
    assert "icon_url" not in said


def test_teams_makes_neither_links_nor_mentions_of_what_others_wrote() -> None:
    native = (
        "https://prod-04.westus.logic.azure.com:443/workflows/643e69f8/triggers/manual/paths/invoke?sp=x&sig=abcdef"
    )
    kind, plugin = post.sender(native, 5.0)
    assert kind.markdown
    (call,) = plugin._build_send_calls(
        body=MESSAGE.markdown(), title=MESSAGE.title, notify_type="warning", body_format="markdown"
    )
    card = plugin.gen_payload(call["body"], call["title"], call["notify_type"])["attachments"][0]["content"]
    title, body = (block["text"] for block in card["body"])
    assert card["msteams"] == {"width": "full"}  # so nobody is mentioned
    assert title == MESSAGE.title
    own = "[Open the page](https://deploy.example.com/environments/shop/prod)"
    assert body.endswith(own)
    assert_inert(body.removesuffix(own))


def request(address: str, body: str) -> dict[str, object]:
    """What the program that sends is asked."""
    shown = {"title": MESSAGE.title, "body": body, "urgency": "warning", "document": MESSAGE.document}
    return {"address": address, **shown, "seconds": 10.0, "try": False}


def test_a_message_says_what_holds_what_is_live_and_what_to_do() -> None:
    status = replace(UNAPPROVED, message="nobody approved it", hint="ask", request="#7", approvers=("ann", "bob"))
    message = words.message(ROUTE, [replace(NOTICE, status=status)], PAGE, NOON)
    assert message.text().splitlines() == [
        "nobody approved it",
        "What to do: ask",
        "State: Held, Healthy, since 2026-03-01 12:00:00Z",
        "Live: run 101 (101-x) since 2026-03-01 12:00:00Z",
        "Let in by: #7, approved by ann, bob",
        "Declared: run 102 (000000000000) by commit dddddddddddd",
        "More: reconciler why shop/prod",
        "https://deploy.example.com/environments/shop/prod",
    ]


@pytest.mark.parametrize(
    ("notice", "title"),
    [
        (Notice(PROD, NoticeKind.FAILED, FAILURE), "shop/prod: run 102 failed: HealthCheckFailed"),
        (
            Notice(PROD, NoticeKind.FAILED, FAILURE, reminder=True),
            "shop/prod: run 102 is still declared, and failed: HealthCheckFailed",
        ),
        (Notice(PROD, NoticeKind.DRIFTED, CHANGED), "shop/prod has drifted"),
        (Notice(PROD, NoticeKind.DEGRADED, UNHEALTHY, reminder=True), "shop/prod is still Degraded: HealthCheckFailed"),
        (Notice(PROD, NoticeKind.STUCK, AWAY), "shop/prod is stuck: TargetUnavailable"),
        (Notice(PROD, NoticeKind.WAITING, held(Reason.SOAKING)), "shop/prod waits: Soaking"),
        (Notice(PROD, NoticeKind.DEPLOYED, well(102)), "shop/prod: run 102 is live"),
        (Notice(PROD, NoticeKind.RECOVERED, well(102)), "shop/prod is well again: run 102 is live"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_title_says_it_all(notice: Notice, title: str) -> None:
    assert words.message(ROUTE, [notice], PAGE, NOON).title == title


def test_a_digest_counts_all_and_names_some() -> None:
    many = [replace(NOTICE, environment=EnvironmentName(f"e{number:03}/prod")) for number in range(137)]
    over = Notice(EnvironmentName("shop/prod"), NoticeKind.RECOVERED, well(102))
    message = words.message(ROUTE, [*many, over], Page(""), NOON)
    assert message.title == "138 environments: 137 held, 1 recovered"
    first, second = message.lines
    assert first.startswith("137 held: e000/prod (ApprovalMissing), e001/prod (ApprovalMissing), ")
    assert first.endswith("e009/prod (ApprovalMissing) and 127 more")
    assert second == "1 recovered: shop/prod"
    assert (message.document["count"], len(message.document["items"]), message.link) == (138, 100, "")
    assert len(json.dumps(message.document)) < post.REQUEST_BYTES / 4


def test_text_of_others_stays_readable() -> None:
    plain = "ann@example.com approved #7 (a-b_c, 2 of 3): see docs/x.md [1]"
    assert inert(plain) == plain
    assert inert("x" * 9_999) == "x" * 499 + "…"


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "syslog://",
        "dbus://",
        "windows://",
        "exec://id",
        "file:///etc/passwd",
        "apprise://host/token",
        "https://example.com/hook",
        "https://hooks.slack.com/triggers/T1/2/3",
        CANARY,
        f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}?template=/etc/passwd",
        f"mailto://a:{CANARY}@example.com?pgp=yes",
        f"jsons://a:{CANARY}@example.com/?verify=no",
        f"json://a:{CANARY}@example.com/?:kind=Other",
        f"json://a:{CANARY}@example.com/?method=GET",
        f"workflows://example.com/w/{CANARY}?%74emplate=/etc/passwd",
        f"mailto://a:{CANARY}@example.com?to=x;pgpprv=/etc/shadow",
    ],
)
def test_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(BadAddress) as refused:
        kind_of(address)
    assert not leaks(str(refused.value).encode(), [CANARY.encode(), b"passwd", b"hook?"])


def test_an_address_that_lacks_something_is_told_by_check_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(NotSent) as refused:
        channel(tmp_path, f"slack://{CANARY}").check()
    assert "lacks something that Slack needs" in refused.value.message
    assert CANARY not in refused.value.message + refused.value.hint
    assert channel(tmp_path, "json://127.0.0.1:1/").check() == "webhook"


def test_a_new_address_counts_from_the_next_message_on(tmp_path: Path) -> None:
    with ScriptedServer(says(OK)) as old, ScriptedServer(says(OK)) as new:
        there = channel(tmp_path, f"json://127.0.0.1:{old.port}/")
        there.send(MESSAGE)
        (tmp_path / "address").write_text(f"json://127.0.0.1:{new.port}/")
        there.send(MESSAGE)
    assert (len(old.requests), len(new.requests)) == (1, 1)


# --- bad channels ---------------------------------------------------------------------------------


def failure(folder: Path, address: str, seconds: float = 30.0) -> str:
    with pytest.raises(NotSent) as caught:
        channel(folder, address, seconds).send(MESSAGE)
    assert CANARY not in caught.value.message + caught.value.hint
    assert caught.value.hint.endswith("reconciler notify --test oncall")
    return caught.value.message


def test_what_a_server_says_is_told_by_its_number_only(tmp_path: Path) -> None:
    with ScriptedServer(says(answer("503 Sorry", f"no {CANARY}".encode()))) as server:
        assert failure(tmp_path, f"json://x:{CANARY}@127.0.0.1:{server.port}/{CANARY}").endswith("it answered 503")


def test_nobody_else_gets_a_message_by_a_redirect(tmp_path: Path) -> None:
    with ScriptedServer(says(OK)) as other, ScriptedServer(says(answer("307 Go", Location=f"{other.url}/"))) as server:
        assert failure(tmp_path, f"json://x:{CANARY}@127.0.0.1:{server.port}/").endswith("it answered 307")
    assert other.requests == []


def _endless(_: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        yield b"x" * 65_536


def _slow(server: ScriptedServer) -> Script:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        while not server.stopped.wait(0.2):
            yield b"x"

    return script


def test_who_never_ends_or_never_begins_is_left_at_the_deadline_and_nothing_of_it_stays(tmp_path: Path) -> None:
    with (
        ScriptedServer(_endless) as endless,
        ScriptedServer(_endless) as slow,
        socket.create_server(("127.0.0.1", 0)) as silent,
        ThreadPoolExecutor(3) as pool,
    ):
        slow._script = _slow(slow)
        mail = f"mailto://127.0.0.1:{silent.getsockname()[1]}?to=a@b.example&from=c@d.example&mode=insecure"
        addresses = [f"json://127.0.0.1:{endless.port}/", f"json://127.0.0.1:{slow.port}/", mail]
        folders = [tmp_path / name for name in ("endless", "slow", "mail")]
        for folder in folders:
            folder.mkdir()
        first, *others = pool.map(failure, folders, addresses, [3.0] * 3)
        assert first.endswith(("it took more than 3 s", "it answered without an end"))
        assert [other.partition(": ")[2] for other in others] == ["it took more than 3 s"] * 2
        assert (len(endless.requests), len(slow.requests)) == (1, 1)
    assert PROGRAM.encode() not in b"".join(_children())


def test_nobody_there_is_no_connection(tmp_path: Path) -> None:
    assert "no connection" in failure(tmp_path, "json://127.0.0.1:1/")


def _children() -> Iterator[bytes]:
    """The argument lists of what this process started and that runs."""
    for one in Path("/proc/self/task").glob("*/children"):
        for pid in one.read_text().split():
            yield Path(f"/proc/{pid}/cmdline").read_bytes()


# --- settings -------------------------------------------------------------------------------------


def settings(*routes: dict[str, object]) -> Settings:
    return Settings.model_validate({"notifications": {"routes": routes}})


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        pytest.param(({"name": "a", "url_env": "A"},) * 2, "[1]: there is another route 'a'", id="one name twice"),
        pytest.param(({"name": "a"},), "[0]: found no address; wanted url_env or url_file", id="no address"),
    ],
)
def test_settings_are_refused_for(routes: tuple[dict[str, object], ...], told: str) -> None:
    with pytest.raises(Terminal) as refused:
        open_routes(settings(*routes))
    assert refused.value.reason is Reason.INVALID_SETTINGS
    assert told in refused.value.message


@pytest.mark.parametrize("pattern", ["PROD", "prod?", "shop/[a-c]", "", " *", "shop//prod"])
def test_a_pattern_that_no_environment_could_ever_match_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="environments"):
        settings({"name": "a", "url_env": "A", "environments": [pattern]})


def test_without_apprise_routes_are_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert open_routes(settings()) == ()
    with pytest.raises(Terminal) as refused:
        open_routes(settings({"name": "a", "url_env": "A"}))
    assert refused.value.reason is Reason.INVALID_SETTINGS
    assert refused.value.hint == "in the source, with the daemon's own pip: pip install '.[notifications]'"


def test_a_process_that_tells_never_loads_apprise(tmp_path: Path) -> None:
    code = (
        "import sys, reconciler.wiring\n"
        "from reconciler.wiring import notifying\n"
        "from reconciler.settings import Settings\n"
        "asked = {'notifications': {'routes': [{'name': 'a', 'url_env': 'A'}]}}\n"
        "((route, channel),) = notifying.open_routes(Settings.model_validate(asked))\n"
        "print(channel.check(), 'apprise' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env={"A": "json://127.0.0.1:1/"}, capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.stdout == "webhook False\n", ran.stderr
