"""Tricks with signed merges, on real git with real keys: each was found by trying to get something unapproved live."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import Health, Sync
from tests.gitworld import Author
from tests.site import Site

FILE = "environments/prod.yaml"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    for run in (1, 2, 3, 666):
        site.publish(run)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    return site


def signed(who: Author) -> tuple[str, ...]:
    assert who.key
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={who.key.private}", "-c", "commit.gpgSign=true")


def merge_with_their_file(site: Site, branch: str, who: Author) -> None:
    """Merge somebody's branch, but take the environment file as it stands there."""
    git = site.git
    git.git(*signed(who), "merge", "-q", "--no-ff", "--no-commit", branch, people=(who, who))
    git.git("checkout", branch, "--", FILE)
    git.git(*signed(who), "commit", "-q", "-m", f"Merge branch '{branch}'", people=(who, who))
    git.push()


def refused(site: Site, *reasons: Reason) -> None:
    status = site.reconcile()["prod"]
    assert status.sync is Sync.HELD, status
    assert status.reason in reasons
    assert site.current("prod") != 666


def test_a_colleagues_unrelated_branch_does_not_carry_ones_own_push_in(site: Site) -> None:
    """The engineer pushes, somebody branches off, the push is reverted; the engineer merges that somebody's branch."""
    git, engineer = site.git, site.engineer
    carol = git.person("carol")
    good = (git.work / FILE).read_text()
    git.write(FILE, site.declaration("prod", 666)).commit(engineer, "Oops", sign=True)
    git.branch("carol").write("README", "x").commit(carol, "Readme", sign=True)
    git.switch("main").write(FILE, good).commit(engineer, "Revert", sign=True)
    merge_with_their_file(site, "carol", engineer)
    refused(site, Reason.APPROVAL_STALE)


def test_an_old_branch_does_not_roll_back_what_came_since(site: Site) -> None:
    git = site.git
    carol = git.person("carol")
    git.branch("carol").write("README", "x").commit(carol, "Readme", sign=True).switch("main")
    site.declare("prod", 2)
    assert site.reconcile()["prod"].ready
    merge_with_their_file(site, "carol", site.engineer)
    refused(site, Reason.APPROVAL_STALE)
    assert site.current("prod") == 2


def test_a_branch_that_is_up_to_date_is_merged_as_ever(site: Site) -> None:
    site.git.branch("slow").write(FILE, site.declaration("prod", 2)).commit(site.engineer, "Bump", sign=True)
    site.git.switch("main").write("README", "x").commit(site.engineer, "Elsewhere", sign=True)
    site.git.merge("slow", signer=site.reviewer).push()
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 2


def test_a_merge_with_swapped_sides_brings_nothing_in_behind_the_baseline(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for run in (1, 666):
        site.publish(run)
    git, engineer = site.git, site.engineer
    git.write(FILE, site.declaration("prod", 666)).commit(engineer, "Long ago").push()
    old = git.tip
    git.write(FILE, site.declaration("prod", 1)).commit(engineer, "Then").push()
    baseline = git.tip
    site.configure(repository={"url": str(git.origin), "poll_seconds": 1, "baseline": str(baseline)})
    tree = git.git("rev-parse", f"{old}^{{tree}}")
    message = ("-m", "Merge")
    swapped = git.git("commit-tree", tree, "-p", old, "-p", baseline, *message, people=(engineer, engineer))
    git.reset(swapped).push()
    refused(site, Reason.APPROVAL_MISSING)
    text = (git.work / FILE).read_text().replace("keep: 3", "keep: 4")
    site.merge({FILE: text})
    refused(site, Reason.APPROVAL_MISSING)


def test_a_push_of_suspend_switches_no_repair_off(site: Site) -> None:
    site.git.direct_push(site.engineer, FILE, site.declaration("prod", 1) + "suspend: true\n")
    ((site.live / "prod" / "current").resolve() / "lib/0.txt").write_bytes(b"EVIL")
    status = site.reconcile()["prod"]
    assert (status.reason, status.health) == (Reason.APPROVAL_MISSING, Health.HEALTHY)
    assert site.current("prod") == 1


def test_an_approved_suspend_leaves_the_environment_alone(site: Site) -> None:
    site.merge({FILE: site.declaration("prod", 2) + "suspend: true\n"})
    assert site.reconcile()["prod"].reason is Reason.SUSPENDED
    assert site.current("prod") == 1


def test_an_environment_without_a_gate_takes_no_place_of_another(site: Site) -> None:
    site.declare("dev", 1, approval="none")
    site.reconcile()
    site.push("dev", 666, approval="none", path=str(site.live / "future"))
    assert site.reconcile()["dev"].reason is Reason.APPROVAL_MISSING
    site.declare("future", 2)
    statuses = site.reconcile()
    assert statuses["future"].ready, statuses["future"]
    assert site.current("future") == 2
