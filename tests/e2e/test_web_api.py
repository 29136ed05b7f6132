"""The real program with pages, API and live events: whatever is asked, it answers, and tells no secret."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from tests.adapters.weblistener import SECRET, Answer, Client
from tests.canaries import forms, leaks
from tests.site import Site, eventually

TOKEN = "canary-token-of-these-tests"
NEVER = ("Traceback", 'File "', ".py", "site-packages", "reconciler.db", "sqlalchemy", "pydantic.dev")
"""What only a mistake of ours would show; and the state folder, which is nobody's business there."""
EXAMPLES = 15


class Served:
    """A site whose daemon serves pages."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def log(self) -> str:
        return (self.site.folder / "daemon.log").read_text()

    @property
    def port(self) -> int:
        return int(re.findall(r"listening=http://127\.0\.0\.1:(\d+)", self.log)[-1])

    def ask(self, path: str, *lines: str) -> Answer:
        with closing(Client(self.port).socket) as connection:
            client = Client.__new__(Client)
            client.socket = connection
            client.head(f"Authorization: Bearer {TOKEN}", *lines, path=path, method="GET")
            return client.answer("GET")

    def document(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask(path).body)
        return found


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    site = Site(folder)
    (folder / "tokens").write_text(f"{TOKEN}\n")
    (folder / "hook-secret").write_text(f"{SECRET}\n")
    site.configure(web={"listen": "127.0.0.1:0", "token_file": "tokens", "webhook_secret_file": "hook-secret"})
    for run in (1, 2):
        site.publish(run)
    site.declare("shop/dev", 2, approval="none")
    site.declare("shop/prod", 1)
    with site.daemon():
        found = Served(site)
        eventually(lambda: "listening=" in found.log)
        eventually(lambda: site.current("shop/dev") == 2 and site.current("shop/prod") == 1)
        yield found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_no_question_breaks_the_api_or_brings_out_what_is_not_its_business(daemon: Served) -> None:
    described = daemon.document("/api/v1/openapi.json")
    del described["paths"]["/events"]  # its answer has no end
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=f"http://127.0.0.1:{daemon.port}")
    canaries = [*forms([TOKEN, SECRET, str(daemon.site.folder / "state")]), *(word.encode() for word in NEVER)]
    asked = 0

    def ask(case: Case[Any]) -> None:
        nonlocal asked
        asked += 1
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
        assert answer.status_code in (200, 400, 404, 405), (case.method, case.formatted_path, answer.status_code)
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])
        body = answer.content
        assert leaks(body, canaries) == []
        if "jsonl" not in answer.headers["content-type"][0]:
            assert json.loads(body)["apiVersion"] == "reconciler/v1"

    quick = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # where any text is a good one, there is no bad one
                quick(given(operation.as_strategy(mode))(ask))()
    assert asked > 7 * EXAMPLES
    assert "unexpected error" not in daemon.log
    assert daemon.ask("/livez").status == 200


def test_a_merge_is_told_live_and_the_page_shows_it(daemon: Served) -> None:
    before = daemon.document("/api/v1/events?limit=1000")["next"]
    stream = Client(daemon.port)
    with closing(stream.socket):
        stream.head(f"Authorization: Bearer {TOKEN}", path=f"/events?after={before}", method="GET")
        daemon.site.declare("shop/prod", 2)
        seen = b""

        def told() -> bool:
            nonlocal seen
            with suppress(TimeoutError):
                stream.socket.settimeout(0.1)
                seen += stream.socket.recv(65_536)
            return b'"live":"2-' in seen

        eventually(told)
    assert daemon.document("/api/v1/environments/shop/prod")["live"]["runId"] == 2
    page = daemon.ask("/environments/shop/prod", "Accept: text/html")
    assert (page.status, b"shop/prod" in page.body) == (200, True)


def test_a_stop_ends_those_who_listen_and_the_daemon_with_them(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure(web={"listen": "127.0.0.1:0"})
    with site.daemon() as process:
        found = Served(site)
        eventually(lambda: "listening=" in found.log)
        stream = Client(found.port)
        with closing(stream.socket):
            stream.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stream.socket.recv(12)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            while stream.socket.recv(65_536):
                pass


def test_without_a_word_on_it_a_taken_port_costs_the_pages_and_nothing_else(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish(1)
    site.declare("prod", 1)
    site.configure(web={})
    with suppress(OSError), socket.create_server(("127.0.0.1", 8080)):  # somebody else may have it: as good
        _goes_on_without_pages(site)
        return
    _goes_on_without_pages(site)


def _goes_on_without_pages(site: Site) -> None:
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        log = (site.folder / "daemon.log").read_text()
    assert "no pages are served" in log
    assert "127.0.0.1:8080 can't be had" in log
    assert "listening=" not in log
