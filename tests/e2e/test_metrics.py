"""`GET /metrics` of the real daemon: what happened can be read there, and only what is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reconciler.metrics.families import FAMILIES, VALUES
from tests.adapters.weblistener import Answer, Client
from tests.site import Site, eventually


class Watched:
    """A site with a listener, and who scrapes it."""

    def __init__(self, folder: Path, **web: str) -> None:
        self.site = site = Site(folder)
        for run in (1, 2, 3):
            site.publish(run)
        site.declare("shop/prod", 1, path=str(site.live / "prod"))
        site.configure(
            drift_seconds=0.2,
            repository={"url": f"file://{site.git.origin}", "poll_seconds": 0.2},
            web={"listen": "127.0.0.1:0", **web},
        )

    @property
    def log(self) -> str:
        return (self.site.folder / "daemon.log").read_text()

    @contextmanager
    def daemon(self) -> Iterator[None]:
        with self.site.daemon():
            eventually(lambda: "listening" in self.log)
            yield

    def ask(self, method: str = "GET", path: str = "/metrics") -> Answer:
        found = re.findall(r"listening\W+http://127\.0\.0\.1:(\d+)", self.log)
        client = Client(int(found[-1]))
        with client.socket:
            client.head(path=path, method=method)
            return client.answer(method)

    def samples(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Values by name and labels."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(self.ask().body.decode()):
            for one in family.samples:
                found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
        return found

    def value(self, name: str, **labels: str) -> float:
        found = self.samples().get(name, {})
        return sum(value for key, value in found.items() if labels.items() <= dict(key).items())

    def reaches(self, least: float, name: str, **labels: str) -> None:
        eventually(lambda: self.value(name, **labels) >= least)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def _lives(watched: Watched, run: int) -> bool:
    return watched.site.current("prod") == run


def test_deploy_drift_repair_hold_and_an_outage_can_be_read(watched: Watched) -> None:
    site, prod = watched.site, str(watched.site.live / "prod")
    with watched.daemon():
        watched.reaches(1, "reconciler_attempts_total", action="deploy", outcome="succeeded")
        watched.reaches(1, "reconciler_environments", sync_status="Synced", health_status="Healthy")
        assert watched.value("reconciler_environment_info", environment="shop/prod", run_id="1") == 1

        (site.live / "prod" / "current" / "lib/0.txt").write_bytes(b"by hand")
        watched.reaches(1, "reconciler_attempts_total", action="repair", outcome="succeeded")

        site.push("shop/prod", 2, path=prod)
        watched.reaches(1, "reconciler_environment_held", environment="shop/prod", reason="ApprovalMissing")
        assert watched.value("reconciler_gate_holds", gate="approval") == 1
        assert watched.value("reconciler_attempts_total", outcome="refused", reason="ApprovalMissing") == 1
        assert watched.value("reconciler_environment_info", run_id="1", declared_run_id="2", sync_status="Held") == 1

        site.declare("shop/prod", 3, path=prod)
        eventually(partial(_lives, watched, 3))
        watched.reaches(2, "reconciler_attempts_total", action="deploy", outcome="succeeded")
        last = watched.value("reconciler_last_successful_poll_timestamp_seconds")
        site.git.origin.rename(site.folder / "away")
        watched.reaches(2, "reconciler_poll_failures_total", reason="RepositoryUnavailable")
        assert watched.value("reconciler_last_successful_poll_timestamp_seconds") >= last > 1e9
        found = watched.samples()
    _is_documented(found)
    for stage in ("judge", "verify", "fetch", "release", "switch", "record"):
        assert found["reconciler_stage_duration_seconds_count"][("stage", stage),] >= 2, stage
        assert found["reconciler_stage_duration_seconds_sum"][("stage", stage),] > 0, stage
    assert sum(found["reconciler_poll_duration_seconds_count"].values()) >= 2
    assert sum(found["reconciler_pass_duration_seconds_count"].values()) >= 4
    assert found["process_resident_memory_bytes"][()] > 1e6


def test_a_release_that_does_not_come_to_life_and_the_way_back_can_be_read(watched: Watched) -> None:
    site = watched.site
    site.configure(
        log_format="json",
        activators={"command": {"allow": [{"environments": ["*"], "argv": ["true"]}]}},
        probes={"command": {"allow": [{"environments": ["*"], "argv": ["grep", "**"]}]}},
    )

    def declare(run: int) -> None:
        document = yaml.safe_load(site.declaration("shop/prod", run, path=str(site.live / "prod")))
        document["activate"] = {"command": ["true"]}
        document["health"] = {"command": ["grep", "-q", "run 1", "lib/0.txt"], "within": "1s", "every": "1s"}
        site.merge({"environments/shop/prod.yaml": yaml.safe_dump(document)})

    declare(1)
    with watched.daemon():
        watched.reaches(1, "reconciler_attempts_total", action="deploy", outcome="succeeded")
        declare(2)
        watched.reaches(1, "reconciler_attempts_total", action="deploy", outcome="failed", reason="HealthCheckFailed")
        watched.reaches(1, "reconciler_attempts_total", action="rollback", outcome="succeeded")
        watched.reaches(1, "reconciler_environment_info", reason="HealthCheckFailed", run_id="1", declared_run_id="2")
        found = watched.samples()
        changes = [json.loads(line) for line in watched.log.splitlines() if "HealthCheckFailed" in line]
    _is_documented(found)
    assert found["reconciler_stage_duration_seconds_count"][("stage", "activate"),] == 3
    assert all(found["reconciler_health_probes_total"][("passed", passed),] >= 1 for passed in ("yes", "no"))
    assert found["reconciler_attempt_duration_seconds_sum"][("outcome", "failed"),] >= 1
    assert [(line["level"], line["attempts"]) for line in changes] == [("error", ["deploy failed", "rollback begun"])]


def _is_documented(found: dict[str, dict[tuple[tuple[str, str], ...], float]]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    families = {family.name: family for family in FAMILIES}
    for name, samples in found.items():
        if name.startswith("process_"):
            continue
        family = families.get(name) or families[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert f"| `{family.name}` |" in page
        for key in samples:
            for label, value in key:
                assert label == "le" or label in family.labels
                assert (allowed := VALUES.get(label)) is None or value in allowed, (name, label, value)


def test_it_is_the_text_format_and_only_read(watched: Watched) -> None:
    with watched.daemon():
        answer = watched.ask()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert answer.headers["cache-control"] == "no-store"
        assert [watched.ask(method).status for method in ("POST", "DELETE", "PUT")] == [405, 405, 405]


def test_totals_name_no_environment(tmp_path: Path) -> None:
    watched = Watched(tmp_path, metrics="totals")
    with watched.daemon():
        watched.reaches(1, "reconciler_environments", sync_status="Synced")
        assert b"shop/prod" not in watched.ask().body


LOADED = ("prometheus_client", "fastapi", "uvicorn")


@pytest.mark.parametrize(
    ("web", "loaded"),
    [(None, ()), ({"metrics": "none"}, LOADED[1:]), ({}, LOADED)],
    ids=["nothing without a listener", "no metrics where none are wanted", "both where they are"],
)
def test_only_what_is_used_is_loaded(
    web: dict[str, str] | None, loaded: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, **(web or {}))
    if web is None:
        watched.site.configure(web={"listen": None})
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with watched.site.daemon():
        eventually(lambda: " started " in watched.log)
        if web is not None:
            assert watched.ask().status == (200 if "prometheus_client" in loaded else 404)
    names = set(re.findall(r"^import time:.*\| +(\S+)$", watched.log, re.MULTILINE))
    assert "reconciler.loop.daemon" in names
    assert tuple(name for name in LOADED if name in names) == loaded
