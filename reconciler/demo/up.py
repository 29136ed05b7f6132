"""`demo up` and `demo down`: everything there is, made in the order in which it rests on each other, and removed.

`up` may be called again at any time: what runs is left as it is, a demo whose daemon died gets a new one, and
one that was interrupted while it was made is made anew.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from reconciler.core.declare import FOLDER
from reconciler.demo import pages, service
from reconciler.demo.ci import source_tree
from reconciler.demo.clone import bumped, retargeted, soaking
from reconciler.demo.folder import DemoFolder, faults, shown
from reconciler.demo.people import make_keys
from reconciler.demo.ports import First, port
from reconciler.demo.process import Process
from reconciler.demo.programs import expect_programs
from reconciler.demo.story import Story
from reconciler.demo.tour import DEV, ENVIRONMENTS, PROD, STAGING, Tour, open_tour
from reconciler.errors import Reason, Terminal
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName, RunId
from reconciler.settings import ENVIRONMENT_VARIABLE

RUNS = tuple(RunId(number) for number in (101, 102, 103))
SOAK = "10s"
"""Stands in for the half hour of `environments/prod.yaml`; how long nobody minds to wait in a tour."""
NO_SOAK = "0s"
"""What prod begins with, so that all three are live at once."""
DECLARED = {DEV: RUNS[1], STAGING: RUNS[0], PROD: RUNS[0]}
"""Which run each environment begins with: dev is one ahead, so that there is something to promote."""

_SETTINGS = """\
# What the operator of this demo decided. Relative paths are meant from this folder.
state: state
repository:
  url: ./origin.git
  branch: main
  poll_seconds: 2
forge:
  type: signed_merge                  # an approval is a merge commit, signed by one of these people
  allowed_signers: allowed_signers
sources:
  ci:
    type: directory
    root: runs
    provenance:                       # which runs may be promoted at all
      repositories: [example/reconciler]
      workflows: [build]
      branches: [main]
      events: [push]
targets:
  directory:
    roots: [live]                     # nothing is ever written elsewhere
activators:                           # what may be started after a switch; nothing, unless it is named here
  command:
    allow:
      - {argv: [./restart], environments: [web]}
probes:                               # what health checks may ask; in earnest, name the service's own port
  http:
    allow:
      - {hosts: ["127.0.0.1:*"], environments: [web]}
audit:                                # signed from time to time, and kept where the daemon's own host can't rewrite it
  checkpoint_seconds: 5
  anchor: refs/reconciler/audit
web:
  listen: 127.0.0.1:{port}           # the pages: nobody but this machine can reach them
drift_seconds: 2
stop_seconds: 5
"""

_EVIDENCE = "--key ../state/audit/key.pub --anchor ../origin.git"
_STEPS = (
    ("get", "where every environment stands"),
    ("promote prod --from dev", "you, the engineer, want to skip staging"),
    ("plan --head origin/promote/prod/run-102", "what the reviewer reads: what a merge would do"),
    ("demo approve promote/prod/run-102", "let in, and held: not tested in staging"),
    ("demo merge", "staging gets run 102: a signed change, a signed merge"),
    ("why prod", "it soaks in staging, and when it may come"),
    ("wait prod --for Ready --timeout 60s", "it comes by itself"),
    ("demo freeze", "nothing new to staging and prod for an hour"),
    ("demo drift", "somebody edits the live release by hand; repairs go on"),
    ("promote staging --run 103", "the next one,"),
    ("demo approve promote/staging/run-103", "approved, and frozen"),
    ("rollback prod --revoke 'it loses orders'", "run 102 is bad: back, and never again"),
    ("demo approve rollback/prod/run-101", "a rollback may always go"),
    ("get", "where else run 102 is live"),
    ("demo merge dev --run 103", "dev leaves it"),
    ("demo freeze --lift", "what waited goes on"),
    ("demo smuggle", "a push to prod that nobody reviewed"),
    ("demo smuggle --revert", "and how it is taken back"),
    ("demo tamper", "the stored artifact is altered after it was approved"),
    ("demo tamper --restore", "and how it is mended"),
    ("demo break", "a run that does not become healthy goes back by itself"),
    ("history --all --limit 40", "every attempt, and who let it in"),
    ('describe prod --at "$(date -u -d -5sec +%FT%TZ)"', "which bytes ran then, and who approved them"),
    (f"audit export | reconciler audit verify - {_EVIDENCE}", "the record, judged from outside"),
    ("demo down", "stop, and leave nothing"),
)
_WIDTH = 42
"""Of a step; the few that are longer push their remark aside."""


def up(folder: DemoFolder) -> None:
    """Set up the demo and start its daemon.

    Raises:
        ReconcilerError: What is missing, or did not come about.
    """
    with faults():
        if not folder.ready:
            expect_programs()
            source_tree()  # what is missing is told before anything is made
        folder.claim()
        with folder.exclusive():
            tour = _resume(folder) if folder.ready else _begin(folder)
            tour.type("get")
            _what_next(tour)


def down(folder: DemoFolder) -> None:
    """Stop the daemon and remove the folder.

    Raises:
        ReconcilerError: The daemon can't be ended, or the disk refuses.
    """
    story = Story()
    if not folder.exists:
        story.says(f"There is no demo in {shown(folder.path)}; nothing to remove.")
        return
    place = shown(folder.path)
    with faults(), folder.exclusive():
        _stop(folder, story)
        folder.remove()
    story.says(f"Removed {place}; nothing is left.")
    if os.environ.get(ENVIRONMENT_VARIABLE) and _named_file() == folder.settings:
        story.says("This shell still names its settings; type next:")
        story.says(f"  unset {ENVIRONMENT_VARIABLE}")


def _named_file() -> Path:
    return Path(os.environ[ENVIRONMENT_VARIABLE]).resolve()


def _resume(folder: DemoFolder) -> Tour:
    """A demo that is there: its daemon runs, afterwards at the latest."""
    tour = open_tour(folder)
    if tour.process.pid() is None:
        tour.story.says("The demo is there, but its daemon has ended; starting it again.")
        pages.settle(folder)
        tour.process.start()
        tour.watch.until_started()
    else:
        tour.process.go_on()
        tour.story.says("The demo is up already; nothing was changed.")
    return tour


def _begin(folder: DemoFolder) -> Tour:
    _make(folder)
    tour = open_tour(folder)
    tour.story.aside("starting the daemon …")
    tour.process.start()
    tour.watch.until(ENVIRONMENTS, "dev, staging and prod are Synced", lambda status: status.ready)
    _ask_for_soak(tour)
    folder.finish()
    return tour


def _make(folder: DemoFolder) -> None:
    """Everything that must be there before the daemon can start."""
    _stop(folder, Story())
    folder.clear()
    folder.settings.write_text(_SETTINGS.replace("{port}", str(port(folder, First.PAGES))))
    for place in (folder.runs, folder.live):
        place.mkdir()
    make_keys(folder)
    tour = open_tour(folder)
    tour.ci.build(RUNS)
    tour.story.headline("The engineer declares what runs where; the reviewer lets it in:")
    tour.clone.create()
    tour.clone.declare({name: _declaration(tour, name, run_id) for name, run_id in DECLARED.items()})
    tour.clone.merge(FOLDER)
    tour.clone.push("reviewer")


def _declaration(tour: Tour, name: EnvironmentName, run_id: RunId) -> bytes:
    """This project's own environment file, aimed at the demo's folder and at a run that was really built."""
    file = source_tree() / FOLDER / f"{name}.yaml"
    artifact = tour.ci.artifact(run_id)
    assert artifact.sha256 is not None
    return soaking(retargeted(bumped(file, run_id, artifact.sha256), tour.folder.target(name)), NO_SOAK)


def _ask_for_soak(tour: Tour) -> None:
    """From now on prod asks for time in staging."""
    story, clone = tour.story, tour.clone
    story.headline("All three are live. From now on, what comes to prod must have run in staging first,")
    story.headline(f"for {SOAK} (in earnest 30m; none so far, so that all three could come up at once):")
    clone.branch("soak")
    file = clone.file(PROD)
    clone.edit(file, soaking(file.read_bytes(), SOAK), f"Ask for {SOAK} in staging before prod")
    commit = clone.merge("soak")
    clone.push("reviewer")
    tour.watch.until([PROD], "prod follows", lambda status: status.ready and status.declared.commit == commit)


def _stop(folder: DemoFolder, story: Story) -> None:
    clock = SystemClock()
    process = Process(folder, clock)
    running = process.stop()
    service.stop(folder, clock)  # behind the daemon, which would start it again
    if process.pid() is not None:
        message = f"the daemon, process {process.pid()}, can't be ended"
        raise Terminal(Reason.INTERNAL_ERROR, message, "end it by hand, then `reconciler demo down` again")
    if running:
        story.says("Stopped the daemon.")


def _what_next(tour: Tour) -> None:
    """What to type, as short as it gets."""
    says = tour.story.says
    says()
    if found := pages.address(tour.folder):
        says(f"pages {found}")
        says()
    says("Type next:")
    for line in _preparations(tour.folder):
        says(f"  {line}")
    for step, text in _STEPS:
        says(f"  reconciler {step:<{_WIDTH}}  # {text}")


def _preparations(folder: DemoFolder) -> Iterator[str]:
    """What this shell lacks for the lines below to work."""
    programs = Path(sys.executable).parent
    if shutil.which("reconciler") != str(programs / "reconciler"):
        yield f". {shown(programs / 'activate')}"
    if os.environ.get(ENVIRONMENT_VARIABLE) != str(folder.settings):
        below = folder.settings.is_relative_to(Path.cwd())
        yield f"export {ENVIRONMENT_VARIABLE}={'$PWD/' if below else ''}{shown(folder.settings)}"
    if not Path.cwd().is_relative_to(folder.clone):
        yield f"cd {shown(folder.clone)}"
