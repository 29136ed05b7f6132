"""The main job: declared in Git, approved, proven, live, on record. Real git, keys, archives, disk and store."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.errors import Reason, Transient
from reconciler.model import CommitId, Digest, Gate, Health, Outcome, Readiness, RunId, Status, Sync, ToldPlan, Verdict
from tests.archives import zip_of
from tests.factories import sha256
from tests.site import Site, environment, eventually, snapshot


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    for run in (1, 2, 3):
        site.publish(run)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    return site


def held(status: Status, reason: Reason) -> None:
    assert (status.sync, status.reason) == (Sync.HELD, reason), status
    assert status.message
    assert status.hint


def releases(site: Site, name: str = "prod") -> set[str]:
    return {path.name.split("-")[0] for path in (site.live / name / "releases").iterdir()}


def test_a_merged_bump_becomes_live_with_its_people_on_record(site: Site) -> None:
    merge = site.declare("prod", 2)
    status = site.reconcile()["prod"]
    assert status.ready
    assert site.current("prod") == 2
    assert (status.declared.commit, status.approvers) == (merge, ("reviewer@example.com",))
    assert all(gate.verdict is Verdict.PASSED for gate in status.gates)
    intent, outcome = site.audit()[-2:]
    assert (intent.kind, outcome.kind, outcome.outcome) == ("intent", "outcome", Outcome.SUCCEEDED)
    assert (intent.commit, intent.run_id, intent.approvers) == (merge, 2, ("reviewer@example.com",))


def test_the_way_back_is_proven_right_after_each_deployment(site: Site) -> None:
    first = site.reconcile()["prod"]
    assert first.live is not None
    assert first.rollback is None, "there is nothing to go back to"
    site.declare("prod", 2)
    assert site.reconcile()["prod"].rollback == Readiness(first.live.id, ready=True)


def test_a_way_back_that_was_damaged_is_told(site: Site) -> None:
    """Damaged on the disk, and found by the look at every byte."""
    site.declare("prod", 2)
    assert site.reconcile()["prod"].live
    (kept,) = [path for path in (site.live / "prod" / "releases").iterdir() if path.name.startswith("1-")]
    (kept / "lib/0.txt").write_bytes(b"another")
    site.configure(rehash_seconds=1)
    with site.daemon():
        eventually(lambda: "lib/0.txt" in site.answer("get", "prod", "-o", "wide").stdout)


def test_a_second_pass_writes_no_file_and_no_row(site: Site) -> None:
    site.declare("prod", 2)
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        system.tracker.look()
        assert runner.run(environment("prod")).status.ready
        database = site.folder / "state" / "reconciler.db"
        with closing(sqlite3.connect(database)) as watcher:

            def written() -> tuple[object, ...]:
                # Without ctime: SQLite, as root, sets the owner of its log anew whenever it opens it. Without
                # its shared memory, in which readers mark themselves.
                state = {path: stamp[:3] for path, stamp in snapshot(site.folder / "state").items()}
                del state["reconciler.db-shm"]
                return snapshot(site.live), state, watcher.execute("PRAGMA data_version").fetchone()

            before = written()
            assert system.tracker.look() == frozenset()
            assert runner.run(environment("prod")).status.ready
            assert written() == before


def test_a_direct_push_is_refused_until_it_is_reverted(site: Site) -> None:
    site.push("prod", 2)
    before = snapshot(site.live)
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)
    assert snapshot(site.live) == before
    site.git.git("-c", "user.name=e", "-c", "user.email=e@x", "revert", "--no-edit", "HEAD")
    site.git.push()
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 1


def test_a_self_merge_is_refused(site: Site) -> None:
    site.merge({"environments/prod.yaml": site.declaration("prod", 2)}, signed_by=site.engineer)
    held(site.reconcile()["prod"], Reason.SELF_APPROVAL)
    assert site.current("prod") == 1


def test_a_merge_that_lowers_the_bar_and_bumps_is_judged_by_the_old_bar(site: Site) -> None:
    text = site.declaration("prod", 2, approval="none")
    site.merge({"environments/prod.yaml": text}, signed_by=site.engineer)
    held(site.reconcile()["prod"], Reason.SELF_APPROVAL)
    assert site.current("prod") == 1


def test_a_fast_forward_is_a_direct_push(site: Site) -> None:
    site.git.branch("ff").write("environments/prod.yaml", site.declaration("prod", 2))
    site.git.commit(site.engineer, "Bump", sign=True).merge("ff", signer=site.reviewer, ff=True).push()
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)


def test_a_merge_whose_content_nobody_reviewed_is_stale(site: Site) -> None:
    site.git.branch("evil").write("environments/prod.yaml", site.declaration("prod", 2))
    site.git.commit(site.engineer, "Bump", sign=True).merge("evil", signer=site.reviewer)
    site.git.write("environments/prod.yaml", site.declaration("prod", 3))
    key = site.reviewer.key
    assert key
    amend = ("commit", "--amend", "--no-edit", "-q", "-S")
    site.git.git("-c", "gpg.format=ssh", "-c", f"user.signingKey={key.private}", *amend, people=(site.reviewer,) * 2)
    site.git.push()
    held(site.reconcile()["prod"], Reason.APPROVAL_STALE)


def test_an_environment_without_a_gate_takes_a_direct_push_and_others_do_not_notice(site: Site) -> None:
    site.declare("dev", 1, approval="none")
    site.reconcile()
    site.push("dev", 2, approval="none")
    statuses = site.reconcile()
    assert statuses["dev"].ready
    assert (site.current("dev"), site.current("prod")) == (2, 1)


BAD_RUNS: dict[str, tuple[dict[str, object] | None, Reason]] = {
    "an unknown run": (None, Reason.RUN_NOT_FOUND),
    "a failed run": ({"conclusion": "failure"}, Reason.RUN_NOT_SUCCESSFUL),
    "a fork's run": ({"head_repository": "evil/shop"}, Reason.RUN_NOT_ALLOWED),
    "a run of another repository": ({"repository": "evil/shop"}, Reason.RUN_NOT_ALLOWED),
    "a run of another workflow": ({"workflow": "evil.yml"}, Reason.RUN_NOT_ALLOWED),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_run_that_may_not_be_promoted_is_refused_before_anything_is_written(site: Site, name: str) -> None:
    facts, reason = BAD_RUNS[name]
    if facts is not None:
        site.publish(9, None, **facts)
    site.declare("prod", 9)
    before = snapshot(site.live)
    held(site.reconcile()["prod"], reason)
    assert snapshot(site.live) == before


def test_a_wrong_digest_is_refused(site: Site) -> None:
    site.declare("prod", 2, sha="0" * 64)
    held(site.reconcile()["prod"], Reason.DIGEST_MISMATCH)
    assert releases(site) == {"1"}


def test_bytes_tampered_with_after_they_were_declared_are_refused_and_not_tried_again(site: Site) -> None:
    site.declare("prod", 2)
    stored = site.runs / "2" / "app.zip"
    good = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(good[:-40] + bytes([good[-40] ^ 1]) + good[-39:])
    held(site.reconcile()["prod"], Reason.DIGEST_MISMATCH)
    assert releases(site) == {"1"}
    entries = len(site.audit())
    stored.write_bytes(good)
    held(site.reconcile()["prod"], Reason.DIGEST_MISMATCH)
    assert len(site.audit()) == entries
    assert site.answer("retry", "prod").returncode == 0
    assert site.reconcile()["prod"].ready


BAD_ARCHIVES = {
    "a path that escapes": zip_of({"../../evil": b"x"}),
    "an absolute path": zip_of({"/etc/evil": b"x"}),
    "two names that differ by case": zip_of({"a": b"x", "A": b"y"}),
    "junk before the archive": b"junk" + zip_of({"a": b"x"}),
    "no archive": b"just bytes",
    "an empty archive": zip_of({}),
    "nothing at all": b"",
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_an_unsafe_archive_is_refused_before_anything_appears(site: Site, name: str) -> None:
    data = site.publish(9, BAD_ARCHIVES[name])
    site.declare("prod", 9, sha=sha256(data))
    held(site.reconcile()["prod"], Reason.ARTIFACT_UNSAFE)
    assert releases(site) == {"1"}
    assert site.current("prod") == 1


BAD_FILES: dict[str, bytes] = {
    "no YAML": b"version: [",
    "run_id in octal": b"version: 1\nartifact: {name: app, run_id: 012, sha256: '%s'}\n" % (b"0" * 64),
    "a duplicate key": b"version: 1\nversion: 1\n",
    "a bomb": b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
    "deep nesting": b"[" * 50_000,
    "UTF-16": "version: 1".encode("utf-16"),
    "two documents": b"version: 1\n---\nversion: 1\n",
    "too large": b"#" * 70_000,
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_broken_file_holds_its_environment_alone(site: Site, name: str) -> None:
    site.declare("other", 1)
    site.merge({"environments/prod.yaml": BAD_FILES[name], "environments/other.yaml": site.declaration("other", 2)})
    statuses = site.reconcile()
    held(statuses["prod"], Reason.INVALID_DECLARATION)
    assert statuses["other"].ready
    assert (site.current("prod"), site.current("other")) == (1, 2)


def test_a_declaration_that_is_a_link_or_a_submodule_is_not_followed(site: Site) -> None:
    site.git.remove("environments/prod.yaml").symlink("environments/prod.yaml", "/etc/passwd")
    site.git.submodule("environments/sub.yaml", "a" * 40).commit(site.engineer, "Links").push()
    statuses = site.reconcile()
    held(statuses["prod"], Reason.INVALID_DECLARATION)
    held(statuses["sub"], Reason.INVALID_DECLARATION)
    assert "root:" not in statuses["prod"].message


def test_a_removed_file_holds_and_tears_nothing_down(site: Site) -> None:
    site.git.remove("environments/prod.yaml").commit(site.engineer, "Remove").push()
    held(site.reconcile()["prod"], Reason.ENVIRONMENT_REMOVED)
    assert site.current("prod") == 1


def test_an_environment_ends_by_removing_its_file_and_then_what_is_live(site: Site) -> None:
    site.git.remove("environments/prod.yaml").commit(site.engineer, "Remove").push()
    site.reconcile()
    shutil.rmtree(site.live / "prod")
    held(site.reconcile()["prod"], Reason.ENVIRONMENT_REMOVED)
    assert not (site.live / "prod").exists()


def test_an_environment_that_was_never_let_in_is_forgotten_with_its_file(site: Site) -> None:
    site.push("typo", 1)
    held(site.reconcile()["typo"], Reason.APPROVAL_MISSING)
    site.git.remove("environments/typo.yaml").commit(site.engineer, "Remove").push()
    site.reconcile()
    with site.system() as system:
        system.tracker.look()
        assert "typo" not in system.world.store.statuses()
        assert system.collect() == 0


def test_a_fault_of_custody_is_told_as_such(site: Site) -> None:
    site.declare("prod", 2)
    custody = site.folder / "state" / "custody"
    shutil.rmtree(custody)
    custody.write_text("in the way")
    status = site.reconcile()["prod"]
    assert (status.sync, status.reason) == (Sync.OUT_OF_SYNC, Reason.CUSTODY_UNAVAILABLE)
    assert site.answer("why", "prod").returncode == 3
    custody.unlink()
    assert site.reconcile()["prod"].ready


def test_custody_keeps_what_is_declared_live_or_kept_and_nothing_else(site: Site) -> None:
    for run in (2, 3, 4, 5):
        site.publish(run)
        site.declare("prod", run)
        site.reconcile()
    with site.system() as system:
        system.tracker.look()
        assert system.collect() == 2  # `keep: 3` leaves runs 3, 4 and 5
        assert system.collect() == 0


def test_custody_keeps_what_an_open_pull_request_would_deploy_until_it_is_closed(site: Site) -> None:
    digest = sha256(site.publish(4))
    with site.system() as system:
        system.tracker.look()
        source, _ = system.world.sources["ci"]
        run = source.run(RunId(4))
        with system.world.custody.obtain(digest, lambda offset: source.open(run, run.artifacts[0], offset)):
            pass
        system.world.store.save_told_plan(12, ToldPlan(12, CommitId("d" * 40), Digest("e" * 64), (digest,)))
        assert system.collect() == 0
        assert system.world.custody.holds(digest)
        system.world.store.save_told_plan(12, None)
        assert system.collect() == 1
        assert not system.world.custody.holds(digest)


def test_nothing_goes_from_custody_while_nobody_can_tell_what_open_pull_requests_would_deploy(site: Site) -> None:
    for run in (2, 3, 4, 5):
        site.publish(run)
        site.declare("prod", run)
        site.reconcile()
    with site.system() as system:
        system.tracker.look()
        system.world.store.save_told_plan(12, ToldPlan(12, CommitId("d" * 40), Digest("e" * 64), ()))
        with closing(sqlite3.connect(site.folder / "state" / "reconciler.db")) as database, database:
            database.execute("UPDATE told_plans SET document = '{}'")
        with pytest.raises(Transient) as failed:
            system.collect()
        assert failed.value.reason is Reason.STORE_UNAVAILABLE
        system.world.store.save_told_plan(12, None)
        assert system.collect() == 2


def test_a_repair_records_what_it_found(site: Site) -> None:
    (site.live / "prod" / "current" / "foreign").write_bytes(b"by hand")
    assert site.reconcile()["prod"].ready
    intent, outcome = site.audit()[-2:]
    assert "foreign foreign" in intent.message
    assert "foreign foreign" in outcome.message


def test_a_refused_attempt_names_who_approved_it(site: Site) -> None:
    site.declare("prod", 2, sha="0" * 64)
    held(site.reconcile()["prod"], Reason.DIGEST_MISMATCH)
    assert site.audit()[-1].approvers == ("reviewer@example.com",)


def test_a_renamed_file_hands_no_target_over(site: Site) -> None:
    text = site.declaration("prod", 2)
    site.git.remove("environments/prod.yaml").commit(site.engineer, "Remove").push()
    site.merge({"environments/live.yaml": text})
    statuses = site.reconcile()
    held(statuses["prod"], Reason.ENVIRONMENT_REMOVED)
    held(statuses["live"], Reason.TARGET_NOT_ALLOWED)
    assert site.current("prod") == 1


def test_a_target_outside_the_allowed_roots_is_refused(site: Site) -> None:
    elsewhere = site.folder / "elsewhere"
    site.declare("evil", 1, path=str(elsewhere))
    held(site.reconcile()["evil"], Reason.TARGET_NOT_ALLOWED)
    assert not elsewhere.exists()


def test_a_newcomer_does_not_get_the_target_of_another(site: Site) -> None:
    site.declare("evil", 2, path=str(site.live / "prod"))
    statuses = site.reconcile()
    assert statuses["evil"].sync is Sync.HELD
    assert statuses["prod"].ready
    assert site.current("prod") == 1


@pytest.mark.parametrize("how", ["reset backwards", "replaced by an orphan", "deleted"])
def test_a_rewritten_branch_changes_nothing(site: Site, how: str) -> None:
    site.declare("prod", 2)
    site.reconcile()
    tip = site.git.tip
    if how == "deleted":
        site.git.run("git", "--git-dir", str(site.git.origin), "update-ref", "-d", "refs/heads/main")
    elif how == "reset backwards":
        site.git.force_push("HEAD~1")
    else:
        site.git.orphan("island").write("environments/prod.yaml", site.declaration("prod", 3))
        site.git.commit(site.engineer, "Island").force_push("island")
    held(site.reconcile()["prod"], Reason.BRANCH_REWRITTEN)
    assert site.current("prod") == 2
    site.git.force_push(tip)
    assert site.reconcile()["prod"].ready


def test_a_tag_of_the_branchs_name_does_not_shadow_it(site: Site) -> None:
    site.git.branch("evil").write("environments/prod.yaml", site.declaration("prod", 3))
    site.git.commit(site.engineer, "Evil").git("tag", "main")
    site.git.git("push", "-q", "origin", "refs/tags/main")
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 1


def test_drift_is_repaired_towards_what_is_approved_even_while_the_tip_is_held(site: Site) -> None:
    site.push("prod", 2)
    live = (site.live / "prod" / "current").resolve()
    (live / "lib/0.txt").write_bytes(b"by hand")
    (live / "foreign").write_bytes(b"by hand")
    status = site.reconcile()["prod"]
    held(status, Reason.APPROVAL_MISSING)
    assert (status.health, status.drift) == (Health.HEALTHY, ())
    assert site.current("prod") == 1


def test_the_store_is_rebuilt_without_touching_a_target(site: Site) -> None:
    site.declare("dev", 2, approval="none")
    before_statuses = site.reconcile()
    before = snapshot(site.live)
    shutil.rmtree(site.folder / "state")
    statuses = site.reconcile()
    assert snapshot(site.live) == before
    for name, status in statuses.items():
        old = before_statuses[name]
        assert (status.sync, status.live, status.declared, status.approvers) == (
            old.sync, old.live, old.declared, old.approvers,
        )  # fmt: skip
    site.declare("prod", 3)
    assert site.reconcile()["prod"].ready


def test_an_old_store_does_not_rewind_what_is_live(site: Site) -> None:
    backup = site.folder / "backup"
    shutil.copytree(site.folder / "state", backup)
    for run in (2, 3):
        site.declare("prod", run)
        site.reconcile()
    shutil.rmtree(site.folder / "state")
    backup.rename(site.folder / "state")
    before = snapshot(site.live)
    assert site.reconcile()["prod"].ready
    assert snapshot(site.live) == before
    assert site.current("prod") == 3


def test_a_rollback_is_a_merge_like_any_other_and_unpacks_nothing_again(site: Site) -> None:
    site.declare("prod", 2)
    site.reconcile()
    inodes = {path.stat().st_ino for path in (site.live / "prod" / "releases").iterdir()}
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 1
    assert inodes == {path.stat().st_ino for path in (site.live / "prod" / "releases").iterdir()}


def test_suspended_is_left_alone_until_resumed(site: Site) -> None:
    assert site.answer("suspend", "prod", "--reason", "night").returncode == 0
    site.declare("prod", 2)
    held(site.reconcile()["prod"], Reason.SUSPENDED)
    assert site.current("prod") == 1
    assert site.answer("resume", "prod").returncode == 0
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 2


def test_a_refusal_is_recorded_once_and_not_at_each_pass(site: Site) -> None:
    site.push("prod", 2)
    site.reconcile()
    entries = len(site.audit())
    site.reconcile()
    assert len(site.audit()) == entries
    refused = site.audit()[-1]
    assert (refused.kind, refused.reason) == ("refused", Reason.APPROVAL_MISSING)
    assert any((gate.gate, gate.verdict) == (Gate.APPROVAL, Verdict.HELD) for gate in refused.gates)


def test_a_moved_target_is_followed_only_once_it_is_approved(site: Site) -> None:
    there = site.live / "there"
    site.push("prod", 1, path=str(there))
    held(site.reconcile()["prod"], Reason.APPROVAL_MISSING)
    assert not there.exists()
    site.declare("prod", 2, path=str(site.live / "elsewhere"))
    status = site.reconcile()["prod"]
    assert status.ready, status
    assert (site.live / "elsewhere" / "current").resolve().name.startswith("2-")
    assert site.current("prod") == 1


def test_one_of_a_thousand_changed_means_one_pass(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure(new_environments="none")
    site.publish(1)
    site.publish(2)
    for number in range(1000):
        name = f"e{number:04}"
        site.git.write(f"environments/{name}.yaml", site.declaration(name, 1, approval="none"))
    site.git.commit(site.engineer, "A thousand").push()
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        assert len(system.tracker.look()) == 1000
        assert runner.run(environment("e0500")).status.ready
        site.push("e0500", 2, approval="none")
        assert system.tracker.look() == {"e0500"}
        assert runner.run(environment("e0500")).status.ready
        assert system.tracker.look() == frozenset()
    assert site.current("e0500") == 2
