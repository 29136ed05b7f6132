"""docs/notifications.md says what the program does: kinds, addresses, options, and examples that hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from reconciler.core.notifying import USUAL
from reconciler.model import Notice, NoticeKind
from reconciler.notifications.addresses import KINDS
from reconciler.notifications.words import Page, message
from reconciler.settings import Settings
from reconciler.wiring.notifying import open_routes
from tests.core.test_notifying import ROUTE, UNAPPROVED
from tests.factories import NOON

PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()


def test_each_kind_has_its_row_in_the_order_that_decides() -> None:
    table = PAGE.partition("| `on` | when |\n")[2].partition("## What is not told")[0]
    assert re.findall(r"^\| `([a-z]+)` \| ", table, re.MULTILINE) == list(NoticeKind)
    assert set(NoticeKind) - set(USUAL) == {NoticeKind.WAITING, NoticeKind.DEPLOYED}
    assert "all but `waiting` and `deployed`" in PAGE


def test_the_example_of_settings_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    settings = Settings.model_validate(yaml.safe_load(example.replace("on:", "'on':")))
    assert [route.name for route, _ in open_routes(settings)] == ["oncall", "team"]


def test_the_example_of_a_webhook_has_the_keys_that_are_sent() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = json.loads(example)
    notice = Notice(UNAPPROVED.environment, NoticeKind.HELD, UNAPPROVED)
    sent = message(ROUTE, [notice], Page("https://x"), NOON).document
    assert list(shown) == list(sent)
    (one,), (other,) = shown["items"], sent["items"]
    assert list(one) == list(other)
    assert (list(one["live"]), list(one["declared"])) == (list(other["live"]), list(other["declared"]))


def test_every_kind_of_address_is_named() -> None:
    for kind in KINDS:
        assert f"| {kind.name} |" in PAGE or f"| a {kind.name} |" in PAGE
