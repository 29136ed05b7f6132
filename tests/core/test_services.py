"""Which environments are one service, and in which order a release comes to them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.core.services import promotion_order, services
from reconciler.model import EnvironmentName

Ways = Mapping[str, tuple[str, ...]]


def told(names: str, after: Ways, artifacts: Mapping[str, str] | None = None) -> list[tuple[str, list[str]]]:
    """The name and the members of each service, in order."""
    found = services(
        map(EnvironmentName, names.split()),
        lambda name: map(EnvironmentName, after.get(name, ())),
        lambda name: (artifacts or {}).get(name, ""),
    )
    return [(one.name, list(map(str, one.members))) for one in found]


@pytest.mark.parametrize(
    ("names", "after", "wanted"),
    [
        pytest.param("", {}, [], id="nothing is declared"),
        pytest.param(
            "shop/prod shop/dev shop/staging",
            {"shop/prod": ("shop/staging",), "shop/staging": ("shop/dev",)},
            [("shop", ["shop/dev", "shop/staging", "shop/prod"])],
            id="a folder is a service, in order of promotion and not of name",
        ),
        pytest.param(
            "prod staging dev alone",
            {"prod": ("staging",), "staging": ("dev",)},
            [("alone", ["alone"]), ("dev", ["dev", "staging", "prod"])],
            id="without a folder, what promotes from one another is a service",
        ),
        pytest.param(
            "shop/prod prod dev",
            {"shop/prod": ("dev",), "prod": ("dev",)},
            [("dev", ["dev", "prod"]), ("shop", ["shop/prod"])],
            id="a folder stays its own service, also when it promotes from outside",
        ),
        pytest.param(
            "shop/eu/prod shop/prod", {}, [("shop", ["shop/prod"]), ("shop/eu", ["shop/eu/prod"])], id="depth"
        ),
        pytest.param("a b c", {"a": ("b",), "b": ("a",)}, [("a", ["a", "b"]), ("c", ["c"])], id="a circle ends"),
        pytest.param(
            "a b c d",
            {"b": ("a",), "c": ("d",), "d": ("c",), "a": ("c",)},
            [("a", ["a", "b", "c", "d"])],
            id="behind one",
        ),
        pytest.param("b a", {"b": ("gone", "b")}, [("a", ["a"]), ("b", ["b"])], id="who is not there connects nobody"),
        pytest.param("a b c", {"c": ("a", "b")}, [("a", ["a", "b", "c"])], id="two ways that meet are one"),
    ],
)
def test_environments_are_grouped_into_services(names: str, after: Ways, wanted: list[tuple[str, list[str]]]) -> None:
    assert told(names, after) == wanted


@pytest.mark.parametrize(
    ("names", "artifacts", "wanted"),
    [
        pytest.param(
            "dev prod staging web",
            {"dev": "shop", "staging": "shop", "prod": "shop", "web": "page"},
            [("page", ["web"]), ("shop", ["dev", "staging", "prod"])],
            id="what no way leads to belongs to its artifact's service",
        ),
        pytest.param(
            "prod staging", {"prod": "new", "staging": "old"}, [("old", ["staging", "prod"])], id="ways come first"
        ),
        pytest.param("prod staging", {"prod": "shop"}, [("shop", ["staging", "prod"])], id="one could not be read"),
        pytest.param(
            "dev shop/prod", {"dev": "shop"}, [("dev", ["dev"]), ("shop", ["shop/prod"])], id="a folder is called so"
        ),
        pytest.param(
            "dev shop", {"dev": "shop", "shop": "x"}, [("dev", ["dev"]), ("x", ["shop"])], id="an environment is"
        ),
        pytest.param("shop", {"shop": "shop"}, [("shop", ["shop"])], id="its own environment is"),
    ],
)
def test_those_without_a_folder_that_declare_the_same_artifact_are_one_service(
    names: str, artifacts: Mapping[str, str], wanted: list[tuple[str, list[str]]]
) -> None:
    assert told(names, {"prod": ("staging",)}, artifacts) == wanted


def test_a_way_through_ten_thousand_environments_is_looked_at_once_and_not_once_for_each() -> None:
    names = [f"e{number:05}" for number in range(10_000)]
    asked: list[str] = []

    def after(name: str) -> list[str]:
        asked.append(name)
        return [names[int(name[1:]) + 1]] if name != names[-1] else []

    assert promotion_order(names, after) == tuple(reversed(names))
    assert len(asked) == len(names)
