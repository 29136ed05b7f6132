"""What users meet by name is documented under that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from reconciler.bounds import Bounds
from reconciler.core.provenance import Provenance
from reconciler.errors import Reason
from reconciler.settings import RepositorySettings, Settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_section(reason: Reason) -> None:
    assert f"\n## {reason}\n" in (DOCS / "reasons.md").read_text()


def test_no_section_is_about_a_reason_that_is_gone() -> None:
    sections = {line[3:] for line in (DOCS / "reasons.md").read_text().splitlines() if line.startswith("## ")}
    assert sections == set(Reason)


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("", Settings),
        ("repository.", RepositorySettings),
        ("bounds.", Bounds),
        ("sources.<name>.provenance.", Provenance),
    ],
    ids=["settings", "repository", "bounds", "provenance"],
)
def test_each_setting_is_in_the_table_with_its_default(section: str, model: type[BaseModel]) -> None:
    text = (DOCS / "settings.md").read_text()
    missing = [name for name in model.model_fields if f"| `{section}{name}` |" not in text]
    assert not missing
