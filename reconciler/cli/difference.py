"""What is declared now against what is on the target now: both read anew, nothing changed.

The branch's tip is looked up at the remote; when that is out of reach, the last tip that the daemon followed
stands in, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler import documents, wiring
from reconciler.cli import memory
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.render import Cell, Page, note
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import CommitId, Declared, Drift, EnvironmentName, Observation
from reconciler.pipeline.home import find_home
from reconciler.pipeline.living import with_unit
from reconciler.ports import Store
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True)
class Difference:
    """One environment's two sides."""

    environment: EnvironmentName
    path: str
    declared: Declared
    observed: Observation

    @property
    def drift(self) -> tuple[Drift, ...]:
        """Paths of the live release that are not as they were put there."""
        return self.observed.drift

    @property
    def same_release(self) -> bool:
        """Whether the declared artifact is the live one."""
        live = self.observed.live
        return live is not None and (live.run_id, live.sha256) == (self.declared.run_id, self.declared.sha256)

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.drift) or not self.same_release


def find(settings: Settings, store: Store, environment: str) -> Difference:
    """Look at both sides.

    Raises:
        Stop: Nobody knows the environment.
        ReconcilerError: The declaration can't be read, or the target can't be looked at.
    """
    system = wiring.build(settings, store)
    tip = _tip(system, store)
    system.world.repository.fetch(tip)
    system.catalog.refresh(tip)
    name = EnvironmentName(environment)
    known = {*system.catalog.environments, *store.statuses()}
    if name not in known:
        raise memory.unknown(name, known)
    file = system.catalog.get(name)
    home = find_home(system.world, file)
    if home is None:
        raise _nowhere(file)
    home = with_unit(system.world, name, home)
    declaration = file.reading.declaration if file.reading else None
    if file.reading and file.reading.problems:
        note(f"note: the file can't be read: {'; '.join(map(str, file.reading.problems))}")
    declared = Declared(tip, declaration.run_id, declaration.sha256) if declaration else Declared(tip)
    return Difference(name, home.path, declared, home.observed)


def _tip(system: wiring.System, store: Store) -> CommitId:
    last = store.tip()
    try:
        tip = system.world.repository.head()
    except Transient as error:
        if last is None:
            raise
        note(f"note: {error.message}; declared as of the last look, {last[:12]}")
        return last
    if tip is None:
        raise Stop(ExitCode.FAILED, f"there is no branch {system.settings.repository.branch!r} at the repository")
    return tip


def _nowhere(file: DeclaredFile) -> PolicyDenied:
    if file.reading is None:
        message = f"environments/{file.path} is not on the branch, and nothing was ever accepted for it"
        return PolicyDenied(Reason.ENVIRONMENT_REMOVED, message, "put the file back")
    problems = "\n".join(map(str, file.reading.problems))
    return PolicyDenied(Reason.INVALID_DECLARATION, problems, "mend the file; `reconciler validate` checks it")


def document(found: Difference) -> documents.Document:
    """The JSON of `diff`."""
    return {
        "name": found.environment,
        "differs": found.differs,
        "target": found.path,
        "declared": documents.declared(found.declared),
        "live": documents.live(found.observed.live, found.observed.live_since),
        "drift": [documents.drift(item) for item in found.drift],
    }


_SIGNS: Mapping[str, Cell] = {"missing": Cell("-", "bad"), "foreign": Cell("+", "good")}


def show(found: Difference) -> None:
    """The two sides, then each path: `-` is missing, `+` does not belong there, `~` is not as it was put there."""
    page, live = Page(), found.observed.live
    head = "differs from its declaration" if found.differs else "is as declared"
    page.line(Cell(f"{found.environment} at {found.path} {head}", "head"))
    page.grid(
        [
            (Cell("declared", "dim"), f"run {found.declared.run_id or '-'}, sha256 {found.declared.sha256 or '-'}"),
            (Cell("live", "dim"), f"run {live.run_id}, sha256 {live.sha256}" if live else "nothing"),
        ],
        indent=2,
    )
    rows = [
        (_SIGNS.get(item.kind.value, Cell("~", "warn")), item.kind.value, item.path, _change(item))
        for item in found.drift
    ]
    if rows:
        page.line()
        page.grid(rows, indent=2)


def _change(item: Drift) -> str:
    return f"expected {item.expected or '-'}, found {item.found or '-'}"
