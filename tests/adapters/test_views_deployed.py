"""A real deployment, from an approved merge to the disk, as its page tells it afterwards."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from reconciler import wiring
from reconciler.machine import statefolder
from reconciler.machine.clock import SystemClock
from reconciler.metrics.passes import Passes
from reconciler.model import EnvironmentName, Outcome
from reconciler.settings import load
from reconciler.views.board import BoardQuery, board
from reconciler.views.chain import Proof
from reconciler.views.environment import EnvironmentPage, environment_page
from reconciler.views.facts import Facts
from reconciler.views.record import RecordQuery, Records
from tests.site import Site

PROD = EnvironmentName("prod")


def page_after_a_pass(site: Site) -> tuple[Facts, EnvironmentPage]:
    """One pass of the real parts, timed as the daemon times it; the page out of what it left."""
    settings, passes = load(site.settings_file), Passes(SystemClock(), "x")
    with (
        closing(wiring.open_store(settings, trace=passes.step, hearer=passes)) as store,
        statefolder.exclusive(settings.state),
    ):
        system = wiring.build(settings, store, passes.step)
        runner = system.runner(lambda *_: None, passes.began)
        system.tracker.look()
        runner.run(PROD)
        passes.ended()
        facts = Facts(
            *(runner.statuses, system.catalog, store, system.world.repository, system.world.clock),
            contents=lambda *_: None,
            holds=system.world.custody.holds,
        )
        page = environment_page(facts, PROD)
        assert page is not None
        assert Records(facts).page(RecordQuery()).verified.whole
        assert board(facts, BoardQuery()).rows[0].cards[0] == page.card
        return facts, page


def test_each_link_is_proven_by_what_the_pass_left_and_each_stage_has_its_time(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish(1)
    site.declare("prod", 1)
    facts, page = page_after_a_pass(site)
    proofs = {link.title: link.proof for link in page.chain}
    assert proofs.pop("Running") is Proof.UNKNOWN  # nothing of it is started
    assert set(proofs.values()) == {Proof.PROVEN}, page.chain
    status = page.status
    assert status.live
    assert {link.digest for link in page.chain if link.digest} == {status.live.sha256}
    assert page.card.title == "Change"  # of the request: the merge has the branch's name
    (tried,) = page.history
    assert [stage.name for stage in tried.stages] == ["fetch", "verify", "release", "switch"]
    assert all(stage.done and stage.took for stage in tried.stages)
    assert tried.attempt.outcome is Outcome.SUCCEEDED
    written = len(facts.store.attempts()), len(list(facts.store.audit()))
    facts, page = page_after_a_pass(site)  # over a converged environment
    assert (len(facts.store.attempts()), len(list(facts.store.audit()))) == written
    assert page.history == (tried,)


def test_a_file_that_was_changed_by_hand_breaks_the_link_to_the_disk_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish(1)
    report = site.declaration("prod", 1) + "drift: report\n"
    site.merge({"environments/prod.yaml": report})
    page_after_a_pass(site)
    (site.live / "prod" / "current" / "bin" / "app").write_bytes(b"#!/bin/sh\nexit 1\n")
    _, page = page_after_a_pass(site)
    assert [link.title for link in page.chain if link.proof is Proof.BROKEN] == ["On disk"]
    assert "bin/app" in next(link.told for link in page.chain if link.title == "On disk")
    assert page.moves[0].command == "reconciler diff prod"
