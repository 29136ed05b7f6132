"""What a rule of the operator's is about, and what it is not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reconciler.core.allowance import CommandAllowance, not_allowed
from reconciler.errors import Reason
from reconciler.model import EnvironmentName


def rule(*argv: str, environments: tuple[str, ...] = ("*",)) -> CommandAllowance:
    return CommandAllowance(argv=argv, environments=environments)


@pytest.mark.parametrize(
    ("pattern", "argv"),
    [
        (["./bin/restart"], ["./bin/restart"]),
        (["./bin/*"], ["./bin/restart"]),
        (["/opt/deploy", "--env", "*"], ["/opt/deploy", "--env", "prod"]),
        (["/opt/deploy", "*"], ["/opt/deploy", "a b"]),
        (["/opt/deploy", "*"], ["/opt/deploy", ""]),
        (["/opt/deploy", "**"], ["/opt/deploy"]),
        (["/opt/deploy", "**"], ["/opt/deploy", "a", "b"]),
    ],
)
def test_a_pattern_is_compared_element_by_element(pattern: list[str], argv: list[str]) -> None:
    assert rule(*pattern).names(argv)


@pytest.mark.parametrize(
    ("pattern", "argv"),
    [
        (["./bin/restart"], ["./bin/restart", "now"]),
        (["./bin/restart", "now"], ["./bin/restart"]),
        (["./bin/restart"], ["bin/restart"]),
        (["./bin/restart"], ["./bin/RESTART"]),
        (["/opt/deploy", "*"], ["/opt/deploy"]),
        (["/opt/deploy", "*"], ["/opt/deploy", "a", "b"]),
        (["/opt/deploy", "a*"], ["/opt/deploy a"]),
        (["/opt/deploy", "x", "**"], ["/opt/deploy"]),
        (["/opt/deploy", "x", "**"], ["/opt/deploy", "y", "x"]),
    ],
)
def test_no_argument_passes_for_two_and_none_is_left_over(pattern: list[str], argv: list[str]) -> None:
    assert not rule(*pattern).names(argv)


@pytest.mark.parametrize("argv", [[], ["**"], ["a", "**", "b"]], ids=["nothing", "any program", "in the middle"])
def test_a_pattern_that_would_be_for_anything_is_refused(argv: list[str]) -> None:
    with pytest.raises(ValidationError):
        rule(*argv)


def test_a_rule_is_for_the_environments_that_it_names_and_must_name_some() -> None:
    shop = rule("x", environments=("shop/*", "dev"))
    assert [shop.covers(EnvironmentName(name)) for name in ("shop/prod", "dev", "prod", "shop")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(ValidationError):
        rule("x", environments=())
    with pytest.raises(ValidationError):
        CommandAllowance.model_validate({"argv": ["x"]})


def test_a_refusal_says_which_rule_would_allow_it() -> None:
    refused = not_allowed(EnvironmentName("prod"), "run the command x", "activators.command.allow", {"argv": ["x"]})
    assert (refused.reason, refused.message) == (
        Reason.ACTIVATION_NOT_ALLOWED,
        "prod may not run the command x: no rule of the operator's settings allows it",
    )
    assert refused.hint.endswith('adds to activators.command.allow: {"argv": ["x"], "environments": ["prod"]}')
