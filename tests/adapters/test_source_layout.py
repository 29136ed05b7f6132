"""`run.json`: what is read, and that everything doubtful is refused with its place and field."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.model import Artifact, Digest
from reconciler.sources import layout
from tests.adapters.runs import RUN, artifact, run, run_json
from tests.factories import NOON


def read(data: bytes, **bounds: Any) -> Any:
    return layout.read_run("ci/101/run.json", data, RUN, Bounds(**bounds))


def test_a_plain_run_file_is_read_into_facts() -> None:
    assert read(run_json()) == run(artifact())


def test_what_is_written_is_read_back_as_it_was() -> None:
    fork = replace(run(artifact(), artifact(b"docs", name="docs", file="docs.tar.gz")), head_repository="mallory/shop")
    assert read(layout.write_run(fork)) == fork


def test_a_fork_is_told_from_the_repository_that_ran_the_workflow() -> None:
    assert read(run_json(head_repository="mallory/shop")).head_repository == "mallory/shop"


def test_two_artifacts_of_one_name_are_facts_for_the_judge() -> None:
    twice = [
        {"name": "shop", "file": "a.zip", "size": 1, "sha256": "a" * 64},
        {"name": "shop", "file": "b.zip", "size": 2, "sha256": "b" * 64},
    ]
    assert read(run_json(artifacts=twice)).artifacts == (
        Artifact("shop", "a.zip", 1, Digest("a" * 64)),
        Artifact("shop", "b.zip", 2, Digest("b" * 64)),
    )


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "in_progress"])
def test_a_run_that_did_not_succeed_is_a_fact_for_the_judge(conclusion: str) -> None:
    assert read(run_json(conclusion=conclusion)).conclusion == conclusion


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T14:00:00+02:00", NOON),
        ("2026-03-01t12:00:00.250z", datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_times_come_out_in_utc(written: str, meant: datetime) -> None:
    created = read(run_json(created=written)).created
    assert created == meant
    assert created.tzinfo is UTC


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "shop", "file": "shop.zip", "size": 1, "sha256": "a" * 64, **changes}]


CASES: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "not JSON"),
    "a file cut in the middle": (run_json()[:100], "not JSON at line 1"),
    "an HTML page": (b"<html>sign in</html>", "not JSON"),
    "a list": (b"[]", "the file"),
    "null": (b"null", "the file"),
    "Latin-1": (run_json(branch="X").replace(b"X", b"\xe9"), "not UTF-8"),
    "UTF-16": (run_json().decode().encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + run_json(), "not JSON"),
    "junk behind it": (run_json() + b"{}", "Extra data"),
    "a duplicate key": (run_json()[:-1] + b', "conclusion": "success"}', "'conclusion' a second time"),
    "a duplicate key, escaped": (run_json()[:-1] + b', "conclu\\u0073ion": "failure"}', "'conclusion' a second time"),
    "a duplicate key in an artifact": (run_json().replace(b'"size":', b'"size": 1, "size":'), "'size' a second time"),
    "NaN": (run_json(attempt=float("nan")), "NaN"),
    "100,000 brackets": (b"[" * 100_000, "nested too deep"),
    "a number of 5,000 digits": (run_json(attempt=7).replace(b": 7", b": " + b"7" * 5_000), "too many digits"),
    "an unknown field": (run_json(approved=True), "approved: an unknown field"),
    "no conclusion": (run_json(conclusion=...), "conclusion: the field is missing"),
    "another version": (run_json(version=2), "version"),
    "version 1.0": (run_json(version=1.0), "version"),
    "version true": (run_json(version=True), "version"),
    "another run's file": (run_json(run_id=102), "run_id: the file is of run 102"),
    "a run_id in quotes": (run_json(run_id="101"), "run_id"),
    "a run_id as a float": (run_json(run_id=101.0), "run_id"),
    "attempt zero": (run_json(attempt=0), "attempt"),
    "an abbreviated commit": (run_json(commit="abc123"), "commit"),
    "a commit with a line break": (run_json(commit="c" * 40 + "\n"), "commit"),
    "a time without a zone": (run_json(created="2026-03-01T12:00:00"), "created"),
    "a time as a number": (run_json(created=1772366400), "created"),
    "the 30th of February": (run_json(created="2026-02-30T12:00:00Z"), "created"),
    "a time before the first": (run_json(created="0001-01-01T00:00:00+14:00"), "created"),
    "an escape sequence in a branch": (run_json(branch="main\x1b[2J"), "branch"),
    "a right-to-left override in a branch": (run_json(branch="ma\u202ein"), "branch"),
    "half a surrogate pair": (run_json(branch="\ud800"), "branch"),
    "a name of 301 characters": (run_json(workflow="w" * 301), "workflow"),
    "an empty repository": (run_json(repository=""), "repository"),
    "artifacts as a mapping": (run_json(artifacts={}), "artifacts"),
    "a digest in upper case": (run_json(artifacts=entry(sha256="A" * 64)), "artifacts.0.sha256"),
    "a digest of 63 digits": (run_json(artifacts=entry(sha256="a" * 63)), "artifacts.0.sha256"),
    "a digest with a line break": (run_json(artifacts=entry(sha256="a" * 64 + "\n")), "artifacts.0.sha256"),
    "no digest": (run_json(artifacts=[{"name": "shop", "file": "shop.zip", "size": 1}]), "artifacts.0.sha256"),
    "a negative size": (run_json(artifacts=entry(size=-1)), "artifacts.0.size"),
    "a size of true": (run_json(artifacts=entry(size=True)), "artifacts.0.size"),
    "a file above the folder": (run_json(artifacts=entry(file="../102/shop.zip")), "artifacts.0.file"),
    "the folder above": (run_json(artifacts=entry(file="..")), "artifacts.0.file"),
    "an absolute file": (run_json(artifacts=entry(file="/etc/passwd")), "artifacts.0.file"),
    "a hidden file": (run_json(artifacts=entry(file=".ssh")), "artifacts.0.file"),
    "a file like an option": (run_json(artifacts=entry(file="-rf")), "artifacts.0.file"),
    "a file with a backslash": (run_json(artifacts=entry(file="a\\b")), "artifacts.0.file"),
    "a file with NUL": (run_json(artifacts=entry(file="a\0b")), "artifacts.0.file"),
    "a file name of 256 bytes": (run_json(artifacts=entry(file="ä" * 128)), "artifacts.0.file"),
    "run.json as an artifact": (run_json(artifacts=entry(file="run.json")), "artifacts.0.file"),
}


@pytest.mark.parametrize(("data", "told"), CASES.values(), ids=CASES.keys())
def test_a_doubtful_run_file_is_refused_with_place_and_field(data: bytes, told: str) -> None:
    with pytest.raises(Transient) as caught:
        read(data)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert caught.value.message.startswith("ci/101/run.json: ")
    assert told in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 700
    assert caught.value.hint


def test_more_artifacts_than_allowed_are_refused() -> None:
    with pytest.raises(Transient, match="artifacts: 3 of them, allowed are 2"):
        read(run_json(artifacts=entry() * 3), run_artifacts=2)
    assert len(read(run_json(artifacts=entry() * 2), run_artifacts=2).artifacts) == 2


def test_a_run_file_over_its_bound_is_refused_and_one_at_it_is_read() -> None:
    data = run_json()
    assert read(data, run_file_bytes=len(data)) == run(artifact())
    with pytest.raises(Transient, match="larger than the allowed"):
        read(data + b" ", run_file_bytes=len(data))


def test_every_problem_is_told_at_once_but_not_without_end() -> None:
    with pytest.raises(Transient, match=r"and 2 more$"):
        read(json.dumps({"version": 1, "run_id": 101, "commit": "c" * 40, "artifacts": []}).encode())
