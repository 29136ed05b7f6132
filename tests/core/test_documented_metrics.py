"""docs/metrics.md names every metric, every label and every value that a label can have, and nothing that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from reconciler.metrics.families import FAMILIES, VALUES
from reconciler.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
_IN_WORDS = {"reason"}
"""Values that another page lists."""


def test_each_metric_is_in_the_table_with_its_type_its_labels_and_what_it_says() -> None:
    found = re.findall(r"^\| `(reconciler_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", PAGE, re.MULTILINE)
    wanted = [
        (family.name, family.kind, ", ".join(f"`{label}`" for label in family.labels), family.says)
        for family in FAMILIES
    ]
    assert found == wanted


def test_each_label_has_the_list_of_its_values() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.partition("\n## Labels\n")[2], re.MULTILINE)
    found = {label: set(re.findall(r"`([^`]+)`", values)) for label, values in rows if label in VALUES}
    assert found == {
        label: {value for value in values if value}
        for label, values in VALUES.items()
        if values is not None and label not in _IN_WORDS
    }


def test_every_label_of_a_metric_has_its_values_or_is_told_to_be_open() -> None:
    used = {label for family in FAMILIES for label in family.labels}
    assert used == set(VALUES)
    for label in used:
        assert f"`{label}`" in PAGE


def test_the_examples_only_name_what_there_is() -> None:
    names = {family.name for family in FAMILIES}
    settings, scrape, alerts = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert Settings.model_validate(yaml.safe_load(settings)).web.metrics == "environments"
    assert yaml.safe_load(scrape)["scrape_configs"]
    rules = yaml.safe_load(alerts)["groups"][0]["rules"]
    assert len(rules) >= 4
    for name in re.findall(r"reconciler_\w+", PAGE):
        assert name in names, name
