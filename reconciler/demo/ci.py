"""A small CI: builds this very project and publishes each run, with no deploy credentials and no idea of targets.

Each run builds the wheel from a copy of the source tree under a version of its own, so that no two runs have
the same bytes, and packs it with the documentation. The same source gives the same bytes again: times, order
and modes in the archive are fixed.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import reconciler
from reconciler.demo.folder import DemoFolder
from reconciler.demo.programs import run
from reconciler.demo.story import Story
from reconciler.errors import Reason, Terminal
from reconciler.model import Artifact, Run, RunId
from reconciler.ports import Clock, Parts
from reconciler.publish import publish
from reconciler.settings import Settings
from reconciler.wiring import open_source, silent

REPOSITORY, WORKFLOW, CI_BRANCH, EVENT = "example/reconciler", "build", "main", "push"
SOURCE, ARTIFACT = "ci", "reconciler"

_FILES = ("pyproject.toml", "README.md", "LICENSE")
_SOURCES = (*_FILES, "reconciler", "docs/reasons")
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can tell."""
_FILE_MODE, _PROGRAM_MODE = 0o100644, 0o100755
_PROGRAM = """\
#!/usr/bin/env python3
\"\"\"Runs the wheel of this very release; its dependencies are those of the Python that runs it.\"\"\"

import sys
from pathlib import Path

sys.path[0] = str(next(Path(__file__).resolve().parent.parent.glob("*.whl")))

from reconciler.__main__ import main

sys.exit(main())
"""


def source_tree() -> Path:
    """Where this project's own source is.

    Raises:
        Terminal: `InvalidSettings`: this is an installation without it.
    """
    root = Path(reconciler.__file__).resolve().parent.parent
    missing = [name for name in (*_SOURCES, "environments") if not (root / name).exists()]
    if missing:
        message = f"the demo builds this project from its source tree, and {root} has no {', '.join(missing)}"
        raise Terminal(Reason.INVALID_SETTINGS, message, "run it from a clone of the repository: `make run` there")
    return root


class Ci:
    """Builds and publishes runs."""

    def __init__(self, folder: DemoFolder, settings: Settings, story: Story, clock: Clock) -> None:
        self._folder = folder
        self._settings = settings
        self._story = story
        self._clock = clock

    def build(self, run_ids: Iterable[RunId]) -> None:
        """Build some runs, side by side, and publish them in order."""
        numbers = tuple(run_ids)
        self._story.aside(f"CI builds run {', '.join(map(str, numbers))} …")
        try:
            with ThreadPoolExecutor(max_workers=len(numbers)) as builders:
                for run_id, archive in zip(numbers, builders.map(self._archive, numbers), strict=True):
                    self._publish(run_id, archive)
        finally:
            shutil.rmtree(self._folder.path / "build", ignore_errors=True)

    def publish_small(self, run_ids: Iterable[RunId], name: str, pack: Callable[[RunId, Path], None]) -> None:
        """Build and publish runs of something else than this project; `pack` writes the archive of one."""
        try:
            for run_id in run_ids:
                if (self._folder.runs / str(run_id)).exists():
                    continue  # an interrupted step came so far
                archive = self._folder.path / "build" / str(run_id) / f"{name}.zip"
                pack(run_id, archive)
                self._publish(run_id, archive, name)
        finally:
            shutil.rmtree(self._folder.path / "build", ignore_errors=True)

    def runs(self) -> tuple[RunId, ...]:
        """All published runs of this project, oldest first."""
        numbers = sorted(RunId(int(path.name)) for path in self._folder.runs.iterdir() if path.name.isdecimal())
        return tuple(number for number in numbers if self.artifact(number).name == ARTIFACT)

    def artifact(self, run_id: RunId) -> Artifact:
        """What CI says of a run's artifact.

        Raises:
            PolicyDenied: `RunNotFound`.
        """
        settings = self._settings
        parts = Parts(self._clock, Random(run_id), silent, settings.bounds, settings.state)  # noqa: S311 - not for secrets
        return open_source(settings, SOURCE, parts).run(run_id).artifacts[0]

    def stored(self, run_id: RunId) -> Path:
        """The file in which CI keeps it."""
        return self._folder.runs / str(run_id) / self.artifact(run_id).file

    def _archive(self, run_id: RunId) -> Path:
        """What a CI job does: a clean checkout, the version, the wheel, the archive."""
        root = self._folder.path / "build" / str(run_id)
        _check_out(source_tree(), root, run_id)
        command = (sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", "dist")
        run(command, root)
        archive = root / f"{ARTIFACT}.zip"
        _pack(archive, root)
        return archive

    def _publish(self, run_id: RunId, archive: Path, name: str = ARTIFACT) -> None:
        facts = Run(
            run_id=run_id,
            repository=REPOSITORY,
            head_repository=REPOSITORY,
            workflow=WORKFLOW,
            branch=CI_BRANCH,
            event=EVENT,
            commit=_commit(source_tree()),
            conclusion="success",
            attempt=1,
            created=self._clock.now(),
            artifacts=(),
        )
        published = publish(self._folder.runs, facts, {name: archive}, silent, self._settings.bounds)
        stored = published.artifacts[0]
        self._story.aside(f"CI run {run_id}: {stored.file}, {stored.size // 1000} kB, sha256 {str(stored.sha256)[:12]}")


def _check_out(source: Path, root: Path, run_id: RunId) -> None:
    """A copy of the source tree whose version tells the run."""
    root.mkdir(parents=True)
    for name in _FILES:
        shutil.copyfile(source / name, root / name)
    shutil.copytree(source / "reconciler", root / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    if (source / "docs").is_dir():
        shutil.copytree(source / "docs", root / "docs")
    init = root / "reconciler" / "__init__.py"
    init.write_text(_VERSION.sub(rf'__version__ = "\1+run.{run_id}"', init.read_text()))


def _pack(archive: Path, root: Path) -> None:
    """The release: the wheel, the documentation, and a program that runs the wheel."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data, mode in sorted(_contents(root)):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            zipped.writestr(entry, data)


def _contents(root: Path) -> Iterator[tuple[str, bytes, int]]:
    yield "bin/reconciler", _PROGRAM.encode(), _PROGRAM_MODE
    for path in (root / "README.md", *root.glob("docs/*.md"), *root.glob("dist/*.whl")):
        name = path.name if path.suffix == ".whl" else str(path.relative_to(root))
        yield name, path.read_bytes(), _FILE_MODE


def _commit(source: Path) -> str:
    """The commit that the source tree stands on; zeros when it is no checkout."""
    try:
        return run(("git", "rev-parse", "--verify", "HEAD"), source)
    except Terminal:
        return "0" * 40
