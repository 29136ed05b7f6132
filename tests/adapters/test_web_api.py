"""The HTTP API, over real sockets: the command line's documents, in pages, within bounds, and no other word."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from reconciler import documents
from reconciler.core.audit import Entry
from reconciler.errors import Reason, Transient
from reconciler.model import EnvironmentName, Status
from reconciler.ports import Store
from reconciler.views.facts import Facts
from reconciler.web import listener, readers
from reconciler.web.described import KEYS
from tests.adapters.weblistener import Reading
from tests.site import eventually
from tests.views_samples import sampled

ENVIRONMENTS = "/api/v1/environments"
LISTS = {
    "EnvironmentList": ENVIRONMENTS,
    "EventList": "/api/v1/events",
    "AuditEntryList": "/api/v1/audit",
    "AttemptList": f"{ENVIRONMENTS}/shop/prod/attempts",
}
OTHERS = {
    "Environment": f"{ENVIRONMENTS}/shop/prod",
    "Figures": "/api/v1/figures",
    "Comparison": "/api/v1/compare?left=shop/prod&right=shop/dev",
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    with sampled(tmp_path_factory.mktemp("facts"), 240, mood="mixed") as found:
        yield found


@pytest.fixture(scope="module")
def web(facts: Facts) -> Iterator[Reading]:
    with Reading(facts, lambda: b"# metrics\n").serving() as found:
        yield found


@contextmanager
def with_statuses(facts: Facts, statuses: Mapping[EnvironmentName, Status]) -> Iterator[Reading]:
    with Reading(replace(facts, statuses=lambda: statuses)).serving() as found:
        yield found


# --- documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "path"), [*LISTS.items(), *OTHERS.items()])
def test_each_answer_is_a_document_of_its_kind_and_a_head_says_the_same(kind: str, path: str, web: Reading) -> None:
    assert web.document(path)["kind"] == kind
    head = web.ask(path, method="HEAD")
    assert (head.status, head.body, int(head.headers["content-length"]) > 50) == (200, b"", True)


def test_an_environment_reads_as_on_the_command_line(web: Reading, facts: Facts) -> None:
    name = EnvironmentName("shop/prod")
    wanted = documents.environment(facts.statuses()[name], facts.store.hand(name))
    listed = {item["name"]: item for item in web.document(f"{ENVIRONMENTS}?text=shop/prod")["items"]}
    one = web.document(f"{ENVIRONMENTS}/{name}")
    for found in (listed[name], one):
        assert {key: found[key] for key in wanted} == wanted
    assert {"state", "title", "behind", "shortName"} <= listed[name].keys() & one.keys()


def test_pages_go_on_where_the_one_before_ended_until_there_is_none(web: Reading, facts: Facts) -> None:
    def pages(path: str, key: str) -> Iterator[dict[str, Any]]:
        asked, following = path, ""
        while True:
            found = web.document(f"{asked}{following}")
            yield from found["items"]
            if found["next"] is None:
                return
            following = f"?{key}={found['next']}"

    names = [item["name"] for item in pages(ENVIRONMENTS, "page")]
    assert sorted(names) == sorted(facts.statuses())
    attempts = [item["id"] for item in pages(LISTS["AttemptList"], "before")]
    assert attempts == [one.id for one in facts.store.attempts(EnvironmentName("shop/prod"), 1000)]
    entries = [item["seq"] for item in pages(LISTS["AuditEntryList"], "before")]
    assert entries == list(range(len(entries), 0, -1))


def test_events_go_on_behind_the_last_one_also_when_there_is_no_more(web: Reading, facts: Facts) -> None:
    wanted = [documents.transition(one) for one in facts.store.transitions_from(0, 1_000)]
    found: list[object] = []
    after, more = 0, True
    while more:
        page = web.document(f"/api/v1/events?after={after}&limit=7")
        found += page["items"]
        after, more = page["next"], page["more"]
    assert found == wanted
    assert web.document(f"/api/v1/events?after={after}")["next"] == after
    of_one = web.document("/api/v1/events?environment=shop/prod")["items"]
    assert {item["environment"] for item in of_one} == {"shop/prod"}


def test_all_environments_come_a_line_each(web: Reading, facts: Facts) -> None:
    answer = web.ask(f"{ENVIRONMENTS}?all=true")
    items = [json.loads(line) for line in answer.body.splitlines()]
    assert [item["name"] for item in items] == sorted(facts.statuses())
    assert {item["kind"] for item in items} == {"Environment"}
    held = web.ask(f"{ENVIRONMENTS}?all=true&state=held&text=prod").body.splitlines()
    assert 0 < len(held) < len(items)


def test_an_environment_may_be_called_like_a_part_of_the_api(facts: Facts) -> None:
    status = next(iter(facts.statuses().values()))
    name = EnvironmentName("shop/attempts")
    with with_statuses(facts, {name: replace(status, environment=name)}) as web:
        assert web.document(f"{ENVIRONMENTS}/{name}")["name"] == name


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (f"{ENVIRONMENTS}/shop/prd", 404, "shop/prod"),
        (f"{ENVIRONMENTS}/{'x' * 5_000}", 404, "lists them"),
        (f"{ENVIRONMENTS}/%1b%5b31m%e2%80%ae%3Cscript%3E", 404, "lists them"),
        (f"{ENVIRONMENTS}/..%2f..%2fetc%2fpasswd", 404, "lists them"),
        (f"{ENVIRONMENTS}?page=0", 400, "page"),
        (f"{ENVIRONMENTS}?page=99999999999999999999999", 400, "page"),
        (f"{ENVIRONMENTS}?pge=1", 400, "pge"),
        (f"{ENVIRONMENTS}?state=fine", 400, "state"),
        (f"{ENVIRONMENTS}?text={'x' * 201}", 400, "text"),
        (f"{ENVIRONMENTS}?text=%00", 400, "text"),
        ("/api/v1/events?limit=1001", 400, "limit"),
        ("/api/v1/events?after=-1", 400, "after"),
        ("/api/v1/figures?days=31", 400, "one of 7, 30, 90"),
        ("/api/v1/audit?kind=nothing", 400, "kind"),
        ("/api/v1/compare?left=1", 400, "right"),
        ("/events?after=x", 400, "after"),
        ("/api/v2", 404, "openapi.json"),
    ],
)
def test_what_can_t_be_answered_says_so_and_what_to_do(path: str, status: int, said: str, web: Reading) -> None:
    refused = web.document(path, status=status)
    assert (refused["kind"], refused["status"]) == ("Error", status)
    assert said in refused["message"] + refused["hint"]
    assert refused["message"].isprintable()
    assert len(json.dumps(refused)) < 2_000


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(method: str, web: Reading) -> None:
    for path in (*LISTS.values(), "/", "/events", "/api/v1/openapi.json"):
        answer = web.ask(path, method=method)
        assert answer.status == 405
        assert json.loads(answer.body)["reason"] == "MethodNotAllowed"


def test_a_memory_that_can_t_be_read_is_told_without_its_place(facts: Facts) -> None:
    def broken() -> Mapping[EnvironmentName, Status]:
        raise Transient(Reason.STORE_UNAVAILABLE, "/var/lib/secret-place/reconciler.db is locked", "wait")

    with Reading(replace(facts, statuses=broken)).serving() as web:
        refused = web.document(ENVIRONMENTS, status=503)
        assert refused["reason"] == "StoreUnavailable"
        assert "secret-place" not in json.dumps(refused)
        assert "secret-place" in str(web.journal.troubles[0])


def test_a_mistake_of_ours_is_told_to_the_log_alone(facts: Facts) -> None:
    def broken() -> Mapping[EnvironmentName, Status]:
        raise RuntimeError("a secret thing")

    with Reading(replace(facts, statuses=broken)).serving() as web:
        assert web.document(ENVIRONMENTS, status=500)["reason"] == "InternalError"
        page = web.ask("/", "Accept: text/html")
        assert (page.status, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert b"secret" not in page.body
        assert [str(trouble) for trouble in web.journal.troubles] == ["a secret thing"] * 2


# --- headers and bounds -------------------------------------------------------------------------


def test_pages_may_run_our_own_files_and_nothing_else(web: Reading) -> None:
    page, document = web.ask("/", "Accept: text/html"), web.ask(ENVIRONMENTS)
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert document.headers["content-security-policy"].startswith("default-src 'none'; base-uri")
    assert {page.headers["cache-control"], document.headers["cache-control"]} == {"no-store"}
    styles = re.findall(rb'"(/static/[^"]+)"', page.body)
    assert styles
    assert {web.ask(path.decode()).headers["cache-control"] for path in styles} == {
        "public, max-age=31536000, immutable"
    }


def test_large_answers_are_compressed_and_live_events_are_not(web: Reading) -> None:
    plain, packed = web.ask(ENVIRONMENTS), web.ask(ENVIRONMENTS, "Accept-Encoding: gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 4
    assert json.loads(gzip.decompress(packed.body))["items"] == json.loads(plain.body)["items"]
    client = web.client()
    with client.socket:
        web.head(client, "/events?after=0", "Accept-Encoding: gzip")
        assert b"content-encoding" not in client.socket.recv(4_096)


def test_only_so_many_answers_are_made_at_once_and_probes_don_t_wait(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(readers, "BUILDS", 2)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow() -> Mapping[EnvironmentName, Status]:
        begun.release()
        assert go_on.wait(30)
        return facts.statuses()

    with Reading(replace(facts, statuses=slow), lambda: b"# metrics\n").serving() as web:
        waiting = [web.client() for _ in range(2)]
        for client in waiting:
            web.head(client, f"{ENVIRONMENTS}?all=true")
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)
        refused = web.ask(ENVIRONMENTS)
        assert (refused.status, json.loads(refused.body)["reason"]) == (503, "Busy")
        assert {web.ask(path).status for path in ("/livez", "/readyz", "/metrics")} == {200}
        go_on.set()
        assert [client.answer("GET").status for client in waiting] == [200, 200]
        assert web.ask(ENVIRONMENTS).status == 200
        for client in waiting:
            client.socket.close()


def test_looking_for_what_somebody_may_have_meant_keeps_no_probe_waiting(facts: Facts) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Mapping[EnvironmentName, Status]:
        begun.set()
        assert go_on.wait(30)
        return facts.statuses()

    with Reading(replace(facts, statuses=slow)).serving() as web:
        lost = web.client()
        with lost.socket:
            web.head(lost, "/shop/prodd", "Accept: text/html")
            assert begun.wait(30)
            try:
                assert web.ask("/livez").status == 200
            finally:
                go_on.set()
            assert lost.answer("GET").status == 404


def test_metrics_are_made_once_at_a_time_however_many_ask(facts: Facts) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow() -> bytes:
        begun.release()
        assert go_on.wait(30)
        return b"# metrics\n"

    with Reading(facts, slow).serving() as web:
        asking = [web.client() for _ in range(3)]
        for client in asking:
            web.head(client, "/metrics")
        assert begun.acquire(timeout=30)
        assert web.ask("/livez").status == 200
        assert not begun.acquire(timeout=0.1)
        go_on.set()
        for client in asking:
            with client.socket:
                assert client.answer("GET").body == b"# metrics\n"


def test_who_compares_large_artifacts_leaves_places_for_those_who_look_at_the_board(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WAIT_SECONDS", 0.05)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def large(*_: object) -> None:
        begun.release()
        assert go_on.wait(30)

    with Reading(replace(facts, contents=large)).serving() as web:
        waiting = [web.client() for _ in range(readers.COMPARISONS)]
        for client, path in zip(waiting, ("/compare", "/api/v1/compare"), strict=True):
            web.head(client, f"{path}?left=shop/prod&right=shop/dev")
            assert begun.acquire(timeout=30)
        assert web.ask("/compare?left=shop/prod&right=shop/dev").status == 503
        assert web.ask(ENVIRONMENTS).status == 200
        go_on.set()
        assert [client.answer("GET").status for client in waiting] == [200, 200]
        for client in waiting:
            client.socket.close()


class Long:
    """A store whose record is longer than what a connection holds of it for somebody who does not read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def audit(self, after: int = 0) -> Iterator[Entry]:
        for _ in range(100):
            yield from self._store.audit(after)


@contextmanager
def _one_who_takes_nothing(facts: Facts, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[Reading]:
    """A listener with one place for answers without a size. Somebody has it, for so many seconds at most."""
    monkeypatch.setattr(readers, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(readers, "STREAMS", 1)
    monkeypatch.setattr(readers, "STREAM_SECONDS", seconds)
    monkeypatch.setattr(listener, "SLOW_SECONDS", 900.0)  # else who takes nothing at all is sent away by that
    with Reading(replace(facts, store=cast("Store", Long(facts.store)))).serving() as web:
        client = web.client()
        with client.socket:
            web.head(client, "/audit/export")
            assert client.socket.recv(12) == b"HTTP/1.1 200"
            monkeypatch.setattr(readers, "STREAM_SECONDS", 900.0)  # of those that come behind it
            yield web
    assert web.journal.troubles == []


def test_only_so_many_take_what_has_no_size(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    with _one_who_takes_nothing(facts, monkeypatch, 900.0) as web:
        for path in ("/audit/export", f"{ENVIRONMENTS}?%61ll=true"):
            assert json.loads(web.ask(path).body)["reason"] == "Busy"
        assert web.ask(ENVIRONMENTS).status == 200


def test_what_has_no_size_is_sent_only_for_so_long(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    with _one_who_takes_nothing(facts, monkeypatch, 0.2) as web:
        eventually(lambda: web.ask(f"{ENVIRONMENTS}?all=true").status == 200)


def test_the_api_describes_itself_and_nothing_comes_from_elsewhere(web: Reading) -> None:
    described = json.loads(web.ask("/api/v1/openapi.json").body)
    paths = described["paths"]
    assert set(paths) == {
        *(ENVIRONMENTS, f"{ENVIRONMENTS}/{{name}}", f"{ENVIRONMENTS}/{{name}}/attempts"),
        *("/api/v1/events", "/api/v1/audit", "/api/v1/figures", "/api/v1/compare", "/events"),
    }
    assert {method for path in paths.values() for method in path} == {"get"}
    parameters = [one for path in paths.values() for one in path["get"].get("parameters", ())]
    assert [one["name"] for one in parameters if not one.get("description")] == []
    assert all(path["get"]["summary"] for path in paths.values())
    assert {web.ask(path).status for path in ("/docs", "/redoc", "/openapi.json")} == {404}


@pytest.mark.parametrize(("kind", "path"), [*LISTS.items(), *OTHERS.items(), ("Error", f"{ENVIRONMENTS}/nothing")])
def test_the_description_names_every_key_and_no_other(kind: str, path: str, web: Reading) -> None:
    found = json.loads(web.ask(path).body)
    assert set(found) == {"apiVersion", "kind", *KEYS[kind]}


def test_an_export_of_the_record_is_no_page(web: Reading) -> None:
    answer = web.ask("/audit/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert all(json.loads(line) for line in answer.body.splitlines())
