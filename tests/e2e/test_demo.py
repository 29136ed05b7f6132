"""The tour, as a reader types it: the real program, a real daemon, in a folder of its own; and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.demo.clone import Clone
from reconciler.demo.folder import DemoFolder
from reconciler.demo.story import Story
from reconciler.model import EnvironmentName
from reconciler.settings import load
from reconciler.wiring import open_store

REVIEWER = "reviewer@example.com"


class Reader:
    """Somebody who follows the tour in one shell."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.demo = home / ".demo"
        self.clone = self.demo / "engineer"
        foreign = {"RECONCILER_STATE": str(home / "elsewhere"), "RECONCILER_REPOSITORY__BRANCH": "other"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "GIT_"))}
        self.demo_shell = {**kept, **foreign, "NO_COLOR": "1"}
        self._shell = {**kept, "NO_COLOR": "1", "RECONCILER_CONFIG": str(self.demo / "reconciler.yaml")}

    def types(self, *words: str, code: int = 0) -> str:
        """Type a command; returns what it says on stdout."""
        shell = self.demo_shell if words[0] == "demo" else self._shell
        argv = (sys.executable, "-P", "-m", "reconciler", *words)
        done = subprocess.run(argv, cwd=self.home, env=shell, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.complaint = done.stderr
        return done.stdout

    def stands(self, environment: str) -> tuple[str, str | None, int | None, int | None]:
        """Sync, reason, declared run and live run of an environment, as the daemon remembers them."""
        with closing(open_store(load(self.demo / "reconciler.yaml"))) as store:
            status = store.statuses()[EnvironmentName(environment)]
        live = status.live.run_id if status.live else None
        return status.sync.value, status.reason and status.reason.value, status.declared.run_id, live

    def live(self, environment: str) -> tuple[str, dict[str, tuple[int, str]]]:
        """The live release's name, and each of its files with mode and digest."""
        current = self.demo / "live" / environment / "current"
        files = {
            str(path.relative_to(current)): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in current.rglob("*")
            if path.is_file()
        }
        return current.readlink().name, files

    def processes(self) -> list[int]:
        """Processes whose command line names the demo."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and os.fsencode(self.demo) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def daemons(self) -> list[int]:
        """Those that are daemons; what one of them has started for a moment, such as git, is not counted."""
        found = []
        for process in self.processes():
            try:
                if (Path("/proc") / str(process) / "cmdline").read_bytes().endswith(b"\0run\0"):
                    found.append(process)
            except OSError:
                continue
        return found


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.types("demo", "down")


def test_the_tour_keeps_its_promises_at_every_step_and_leaves_nothing(reader: Reader) -> None:
    _it_comes_up_by_real_approvals(reader)
    _a_merge_promotes_the_very_bytes_that_dev_runs(reader)
    _a_smuggled_change_is_held_until_it_is_taken_back(reader)
    _tampered_bytes_never_become_live(reader)
    _an_edit_by_hand_is_mended(reader)
    _a_service_that_does_not_become_healthy_goes_back_by_itself(reader)
    _a_killed_daemon_is_started_again(reader)
    _the_record_holds(reader)
    _nothing_is_left(reader)


def _it_comes_up_by_real_approvals(reader: Reader) -> None:
    told = reader.types("demo", "up")
    assert "reconciler demo merge" in told
    assert "reconciler history --all" in told
    assert "reconciler audit export | reconciler audit verify -" in told
    assert "engineer$ git commit -S -a -m 'Ask for 10s in staging before prod'" in told
    assert "export RECONCILER_CONFIG=$PWD/.demo/reconciler.yaml" in told
    assert "CI run 103" in reader.complaint
    pages = re.search(r"^pages (http://127\.0\.0\.1:\d+)$", told, re.MULTILINE)
    assert pages
    with urllib.request.urlopen(f"{pages[1]}/environments/prod", timeout=10) as page:
        assert b"prod" in page.read()
    for environment, run in (("dev", 102), ("staging", 101), ("prod", 101)):
        assert reader.stands(environment) == ("Synced", None, run, run)
    attempts = json.loads(reader.types("history", "prod", "-o", "json"))["items"]
    assert [one["approvers"] for one in attempts if one["outcome"] == "succeeded"] == [[REVIEWER]] * 2
    assert "nothing was changed" in reader.types("demo", "up")
    assert len(reader.daemons()) == 1


def _a_merge_promotes_the_very_bytes_that_dev_runs(reader: Reader) -> None:
    told = reader.types("demo", "merge")
    assert "reviewer$ git merge -S --no-ff -m 'Merge staging-run-102'" in told
    assert "staging runs run 102: live" in told
    assert reader.stands("staging") == ("Synced", None, 102, 102)
    assert reader.live("staging") == reader.live("dev")
    program = reader.demo / "live" / "staging" / "current" / "bin" / "reconciler"
    version = subprocess.run((sys.executable, program, "version"), capture_output=True, text=True, check=True)
    assert version.stdout.endswith("+run.102\n")
    assert "already; nothing was changed" in reader.types("demo", "merge")
    reader.types("demo", "merge", "staging", "--run", "999", code=3)


def _a_smuggled_change_is_held_until_it_is_taken_back(reader: Reader) -> None:
    before = reader.live("prod")
    told = reader.types("demo", "smuggle")
    assert f"Held. prod still runs {before[0]}." in told
    assert "ApprovalMissing" in told
    assert reader.stands("prod") == ("Held", "ApprovalMissing", 102, 101)
    reader.types("demo", "smuggle", "--revert")
    assert reader.stands("prod") == ("Synced", None, 101, 101)
    assert reader.live("prod") == before


def _tampered_bytes_never_become_live(reader: Reader) -> None:
    before = reader.live("staging")
    run_file = reader.demo / "runs" / "103" / "run.json"
    stored = (run_file.read_bytes(), (run_file.parent / "reconciler.zip").stat().st_size)
    told = reader.types("demo", "tamper")
    assert f"Held. staging still runs {before[0]}." in told
    assert "DigestMismatch" in told
    assert stored == (run_file.read_bytes(), (run_file.parent / "reconciler.zip").stat().st_size)
    assert reader.stands("staging") == ("Held", "DigestMismatch", 103, 102)
    assert reader.live("staging") == before
    reader.types("demo", "drift", code=2)
    reader.types("demo", "tamper", "--restore")
    assert reader.stands("staging") == ("Synced", None, 103, 103)


def _an_edit_by_hand_is_mended(reader: Reader) -> None:
    release, files = reader.live("staging")
    told = reader.types("demo", "drift")
    assert "README.md" in told
    assert "bin/backdoor" in told
    assert "Mended" in told
    assert reader.live("staging") == (f"{release}.2", files)


def _a_service_that_does_not_become_healthy_goes_back_by_itself(reader: Reader) -> None:
    said = reader.types("demo", "break")
    assert "web is live and healthy" in said
    assert "run 201 was brought back by itself" in said
    assert reader.stands("web") == ("Held", "HealthCheckFailed", 202, 201)
    attempts = json.loads(reader.types("history", "web", "-o", "json"))["items"]
    told = [(one["declared"]["runId"], one["automatic"]) for one in attempts]
    assert told == [(201, True), (202, False), (201, False)]
    port = re.search(r'PORT: "(\d+)"', (reader.clone / "environments" / "web.yaml").read_text())
    assert port
    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/") as answer:
        assert answer.read() == b"run 201\n"
    assert "already" in reader.types("demo", "break")


def _a_killed_daemon_is_started_again(reader: Reader) -> None:
    (daemon,) = reader.daemons()
    os.kill(daemon, signal.SIGKILL)
    reader.types("demo", "merge", "dev", code=2)
    assert "starting it again" in reader.types("demo", "up")
    reader.types("demo", "merge", "dev", "--run", "103")
    assert reader.stands("dev") == ("Synced", None, 103, 103)


def _the_record_holds(reader: Reader) -> None:
    exported = reader.home / "audit.jsonl"
    exported.write_text(reader.types("audit", "export"))
    reader.types("audit", "verify", str(exported))
    exported.unlink()


def _nothing_is_left(reader: Reader) -> None:
    reader.demo_shell["RECONCILER_CONFIG"] = str(reader.demo / "reconciler.yaml")
    told = reader.types("demo", "down")
    assert "nothing is left" in told
    assert "unset RECONCILER_CONFIG" in told
    del reader.demo_shell["RECONCILER_CONFIG"]
    assert list(reader.home.iterdir()) == []
    assert reader.processes() == []
    assert "nothing to remove" in reader.types("demo", "down")


def test_a_proposal_is_let_in_once_and_a_freeze_can_be_typed_twice(reader: Reader) -> None:
    reader.types("demo", "up")
    _without_a_proposal_nothing_is_approved(reader)
    _what_was_merged_and_not_pushed_is_pushed(reader)
    _a_freeze_holds_what_is_approved_until_it_is_lifted(reader)
    _a_proposal_that_was_overtaken_is_left_alone(reader)
    _a_branch_that_was_rewritten_is_told_as_such(reader)


def _without_a_proposal_nothing_is_approved(reader: Reader) -> None:
    reader.types("demo", "approve", code=2)
    assert "reconciler promote" in reader.complaint
    reader.types("demo", "approve", "promote/prod/run-1", code=2)


def _what_was_merged_and_not_pushed_is_pushed(reader: Reader) -> None:
    reader.types("promote", "staging", "--from", "dev", "--repo", str(reader.clone))
    clone = Clone(DemoFolder(reader.demo), Story())
    clone.catch_up()
    clone.merge_proposed("promote/staging/run-102")
    assert "was let in already" in reader.types("demo", "approve", "promote/staging/run-102")
    reader.types("wait", "staging", "--for", "run=102", "--timeout", "30s")


def _a_freeze_holds_what_is_approved_until_it_is_lifted(reader: Reader) -> None:
    assert "Nothing is frozen." in reader.types("demo", "freeze", "--lift")
    assert "reviewer$ git merge -S --no-ff -m 'Merge freeze' freeze" in reader.types("demo", "freeze")
    assert "frozen already" in reader.types("demo", "freeze")
    reader.types("promote", "staging", "--run", "103", "--repo", str(reader.clone))
    assert "held all the same: Frozen" in reader.types("demo", "approve")
    assert reader.stands("staging") == ("Held", "Frozen", 103, 102)
    reader.types("demo", "freeze", "--lift")
    assert reader.stands("staging") == ("Synced", None, 103, 103)


def _a_branch_that_was_rewritten_is_told_as_such(reader: Reader) -> None:
    git = ("git", "-C", str(reader.clone), "-c", "commit.gpgsign=false")
    commit = (*git, "commit", "--quiet", "--allow-empty")
    for act in (
        (*commit, "-m", "mine"), (*git, "push", "--quiet", "origin", "main"),
        (*commit, "--amend", "-m", "another"), (*git, "push", "--quiet", "--force", "origin", "main"),
        (*git, "reset", "--quiet", "--hard", "main@{1}"),
    ):  # fmt: skip
        subprocess.run(act, check=True)
    reader.types("demo", "merge", "dev", code=2)
    assert "somebody rewrote it" in reader.complaint
    assert "InternalError" not in reader.complaint


def _a_proposal_that_was_overtaken_is_left_alone(reader: Reader) -> None:
    overtaken = "promote/dev/run-101"
    reader.types("promote", "dev", "--run", "101", "--repo", str(reader.clone))
    reader.types("demo", "merge", "dev", "--run", "103")
    reader.types("demo", "approve", overtaken, code=2)
    assert f"{overtaken} does not go together with main" in reader.complaint
    assert "already; nothing was changed" in reader.types("demo", "merge", "dev", "--run", "103")


def test_a_start_that_was_interrupted_is_begun_anew(reader: Reader) -> None:
    folder = DemoFolder(reader.demo)
    folder.claim()
    folder.settings.write_text("half a fi")
    (folder.runs / "101").mkdir(parents=True)
    reader.types("demo", "merge", code=2)
    assert "reconciler demo up" in reader.complaint
    assert "engineer$ git switch -c environments" in reader.types("demo", "up")
    assert reader.stands("staging") == ("Synced", None, 101, 101)


def test_a_folder_that_is_no_demo_is_neither_used_nor_removed(reader: Reader) -> None:
    reader.demo.mkdir()
    precious = reader.demo / "thesis.txt"
    precious.write_text("years of work")
    reader.types("demo", "up", code=2)
    assert "no demo" in reader.complaint
    assert "nothing to remove" in reader.types("demo", "down")
    assert precious.read_text() == "years of work"


def test_a_step_without_a_demo_says_how_to_start_one(reader: Reader) -> None:
    reader.types("demo", "merge", code=2)
    assert "reconciler demo up" in reader.complaint
    assert list(reader.home.iterdir()) == []


def test_what_is_missing_is_told_before_anything_is_made(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = tmp_path_factory.mktemp("bin")
    git = shutil.which("git")
    assert git
    (programs / "git").symlink_to(git)
    reader.demo_shell["PATH"] = str(programs)
    reader.types("demo", "up", code=2)
    assert "ssh-keygen" in reader.complaint
    assert "apt-get install openssh-client" in reader.complaint
    assert list(reader.home.iterdir()) == []
