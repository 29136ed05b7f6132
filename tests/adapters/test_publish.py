"""`publish`, as CI calls it: a run appears whole or not at all, and never changes afterwards."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import PolicyDenied, Reason, Terminal, Transient
from reconciler.model import Artifact, Run
from reconciler.ports import Trace
from reconciler.publish import publish
from reconciler.sources.directory import DirectorySource
from tests.adapters.runs import RUN, SHOP, artifact, run
from tests.factories import sha256


def quiet(step: str) -> None:
    """Nobody listens."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    file = tmp_path / "shop.zip"
    file.write_bytes(SHOP)
    return file


def published(
    root: Path, files: Mapping[str, Path], facts: Run | None = None, trace: Trace = quiet, **bounds: Any
) -> Run:
    return publish(root, facts or run(), files, trace, Bounds(**bounds))


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_a_published_run_is_what_a_source_reads(root: Path, built: Path) -> None:
    made = published(root, {"shop": built})
    assert made == run(artifact())
    source = DirectorySource(root, Bounds())
    assert source.run(RUN) == made
    with source.open(made, made.artifacts[0], 0) as stream:
        assert b"".join(stream) == SHOP
    assert names(root) == ["101"]


def test_several_artifacts_are_told_in_the_order_given(root: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "docs.tar.gz").write_bytes(b"docs")
    made = published(root, {"shop": built, "docs": tmp_path / "docs.tar.gz"})
    assert made.artifacts == (artifact(), Artifact("docs", "docs.tar.gz", 4, sha256(b"docs")))


def test_a_run_without_artifacts_is_published_too(root: Path) -> None:
    assert published(root, {}, replace(run(), conclusion="failure")).artifacts == ()


def test_a_link_to_what_was_built_is_published_as_a_file(root: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.zip").symlink_to(built)
    published(root, {"shop": tmp_path / "latest.zip"})
    assert not (root / "101/latest.zip").is_symlink()
    assert (root / "101/latest.zip").read_bytes() == SHOP


def test_others_may_read_what_the_umask_lets_them(root: Path, built: Path) -> None:
    before = os.umask(0o027)
    try:
        published(root, {"shop": built})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (root / "101", root / "101/run.json", root / "101/shop.zip")]
    assert modes == [0o750, 0o640, 0o640]


def test_the_same_run_again_is_no_error_and_changes_nothing(root: Path, built: Path) -> None:
    first = published(root, {"shop": built})
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    later = replace(run(), created=run().created + timedelta(hours=1))
    assert published(root, {"shop": built}, later) == first
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def other_content(root: Path, built: Path) -> Run:
    built.write_bytes(b"rebuilt")
    return run()


def other_facts(root: Path, built: Path) -> Run:
    return replace(run(), conclusion="failure")


def damage(root: Path, built: Path) -> Run:
    (root / "101/shop.zip").write_bytes(SHOP[:-1] + b"!")
    return run()


def absence(root: Path, built: Path) -> Run:
    (root / "101/run.json").unlink()
    return run()


def a_link(root: Path, built: Path) -> Run:
    (root / "101").rename(root / "elsewhere")
    (root / "101").symlink_to(root / "elsewhere")
    return run()


@pytest.mark.parametrize("change", [other_content, other_facts, damage, absence, a_link])
def test_a_run_that_is_there_is_never_replaced_in_case_of(change: Any, root: Path, built: Path) -> None:
    published(root, {"shop": built})
    facts = change(root, built)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(PolicyDenied, match="run 101 is already there") as caught:
        published(root, {"shop": built}, facts)
    assert caught.value.reason is Reason.RUN_EXISTS
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


BAD_FACTS: dict[str, tuple[dict[str, Any], str]] = {
    "a run_id of zero": ({"run_id": 0}, "run_id"),
    "an abbreviated commit": ({"commit": "abc"}, "commit"),
    "an empty branch": ({"branch": ""}, "branch"),
    "an escape sequence in a workflow": ({"workflow": "a\x1b[2J"}, "workflow"),
    "half a surrogate pair": ({"workflow": "\udcff"}, "workflow"),
    "a time without a zone": ({"created": run().created.replace(tzinfo=None)}, "created"),
}


@pytest.mark.parametrize(("changes", "told"), BAD_FACTS.values(), ids=BAD_FACTS.keys())
def test_a_fact_that_no_source_would_read_is_refused(
    changes: dict[str, Any], told: str, root: Path, built: Path
) -> None:
    with pytest.raises(Terminal, match=told):
        published(root, {"shop": built}, replace(run(), **changes))
    assert names(root) == []


@pytest.mark.parametrize("name", ["-rf.zip", ".hidden", "run.json", "a\nb.zip", "a\\b.zip"])
def test_a_file_name_that_no_source_would_read_is_refused(name: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SHOP)
    with pytest.raises(Terminal, match=r"artifacts\.0\.file"):
        published(root, {"shop": tmp_path / name})
    assert names(root) == []


def test_two_files_of_one_name_are_refused(root: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/shop.zip").write_bytes(b"")
    with pytest.raises(Terminal, match="two of the files are called"):
        published(root, {"shop": built, "other": tmp_path / "other/shop.zip"})


def no_file(path: Path) -> None:
    """Nothing is put there."""


def a_folder(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("put", [no_file, a_folder, a_fifo])
def test_an_artifact_that_is_no_file_is_refused_and_nothing_left(put: Any, root: Path, tmp_path: Path) -> None:
    put(tmp_path / "shop.zip")
    with pytest.raises(Terminal, match=r"shop\.zip"):
        published(root, {"shop": tmp_path / "shop.zip"})
    assert names(root) == []


def test_an_artifact_that_no_daemon_would_fetch_is_refused(root: Path, built: Path) -> None:
    with pytest.raises(PolicyDenied) as caught:
        published(root, {"shop": built}, artifact_bytes=len(SHOP) - 1)
    assert caught.value.reason is Reason.ARTIFACT_TOO_LARGE
    assert names(root) == []


STEPS = [
    "publish:prepare",
    "publish:stage",
    "publish:copy",
    "publish:describe",
    "publish:sync",
    "publish:place",
    "publish:sync-root",
]


def test_every_step_is_named_in_its_order(root: Path, built: Path) -> None:
    steps: list[str] = []
    published(root, {"shop": built}, trace=steps.append)
    assert steps == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_of_the_disk_leaves_the_whole_run_or_none(step: str, root: Path, built: Path) -> None:
    def trace(name: str) -> None:
        if name == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Transient, match="No space left") as caught:
        published(root, {"shop": built}, trace=trace)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert names(root) == (["101"] if step == "publish:sync-root" else [])
    assert published(root, {"shop": built}) == run(artifact())


DYING = """
import os, sys
from pathlib import Path
from reconciler.bounds import Bounds
from reconciler.publish import publish
from tests.adapters.runs import run

def trace(step):
    if step == sys.argv[3]:
        os._exit(9)

publish(Path(sys.argv[1]), run(), {"shop": Path(sys.argv[2])}, trace, Bounds())
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_publisher_that_dies_leaves_nothing_that_a_source_sees_half(step: str, root: Path, built: Path) -> None:
    command = [sys.executable, "-c", DYING, str(root), str(built), step]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == 9
    assert "101" not in names(root) or step == "publish:sync-root"
    assert published(root, {"shop": built}) == run(artifact())
    assert names(root) == ["101"]


def test_a_publisher_at_work_is_not_taken_for_a_leftover(root: Path, built: Path) -> None:
    def trace(step: str) -> None:
        if step == "publish:place" and "102" not in names(root):
            published(root, {"shop": built}, run(run_id=102))

    published(root, {"shop": built}, trace=trace)
    assert names(root) == ["101", "102"]


def test_two_publishers_of_one_run_end_with_one_run(root: Path, built: Path) -> None:
    inner: list[Run] = []

    def trace(step: str) -> None:
        if step == "publish:place" and not inner:
            inner.append(published(root, {"shop": built}))

    assert published(root, {"shop": built}, trace=trace) == inner[0]
    assert names(root) == ["101"]


def test_nothing_stays_open(root: Path, built: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        published(root, {"shop": built})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
