"""Fixtures: a hub behind prism. Import them where they are wanted:

from tests.github.plugin import github, hub_repository, referee  # noqa: F401
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github.hub import Hub
from tests.github.prism import Prism, Verdict
from tests.github.repository import HubRepository

__all__ = ["GitHub", "github", "hub_repository", "referee"]


class GitHub:
    """A hub and the prism before it; adapters talk to `url`."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub()
        self.prism = Prism(self.hub.url, folder)
        self.url = self.prism.url
        self.hub.public_url = self.url

    @property
    def token(self) -> str:
        return self.hub.token

    def violations(self) -> list[str]:
        """What was wrong since this was asked last, in words; asking takes them away."""
        cut = {(call.method, call.path) for call in self.hub.log if call.status == 0}
        strange, self.hub.strange = self.hub.strange, []
        return [str(one) for one in self.prism.verdicts() if not self._of_silence(one, cut)] + strange

    def _of_silence(self, verdict: Verdict, cut: set[tuple[str, str]]) -> bool:
        """Prism answers for a hub that was told to cut the line; that is nobody's fault."""
        return bool(verdict.own) and (verdict.method, verdict.url) in cut

    def reset(self) -> None:
        """As new."""
        self.hub.reset()
        self.prism.verdicts()

    def close(self) -> None:
        """Stop both."""
        self.prism.stop()
        self.hub.close()


@pytest.fixture(scope="session")
def referee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    """One for each process of the test run."""
    github = GitHub(tmp_path_factory.mktemp("referee"))
    yield github
    github.close()


@pytest.fixture
def github(referee: GitHub) -> Iterator[GitHub]:
    """An empty hub behind prism; a violation fails the test that caused it."""
    referee.reset()
    yield referee
    found = referee.violations()
    assert not found, "not as GitHub's description has it:\n" + "\n".join(found)


@pytest.fixture
def hub_repository(github: GitHub, tmp_path: Path) -> HubRepository:
    """`acme/deploy`, with one commit on `main`."""
    return github.hub.repository("acme/deploy", tmp_path / "hub")
