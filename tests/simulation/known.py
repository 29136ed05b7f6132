"""Tests that show a known bug of the product, until it is mended: then they pass, and must leave this list."""

from __future__ import annotations

BUGS = {
    "test_a_file_that_was_removed_does_not_come_back_without_its_rule_by_a_push[removed by a push]": (
        "Judge._move compares with the parent alone: a key that is gone on both sides is no difference"
    ),
    "test_a_file_that_was_removed_does_not_come_back_without_its_rule_by_a_push[removed with an approval]": (
        "Judge._move compares with the parent alone: a key that is gone on both sides is no difference"
    ),
    "test_a_break_that_could_not_be_told_is_not_forgotten_by_a_crash": "Soaks._put tells a break once only",
    "test_a_plan_promises_nothing_that_the_daemon_will_not_keep": "Soaks.see without a token believes a stale row",
    "test_what_staging_lost_while_the_bytes_were_fetched_counts": "Pass._effect does not judge the promotion again",
    "test_the_clock_begins_anew_after[a_long_outage_that_the_clock_hides]": "Soaks takes up a row from the future",
    "test_a_revocation_that_was_let_in_survives_a_push_while_something_else_in_the_policy_waits": (
        "a revocation that was let in binds only once the whole file is"
    ),
    "test_a_policy_that_was_let_in_is_audited_also_when_the_store_was_away": "Rulebook._save is not tried again",
    "test_a_change_that_came_before_a_floor_is_not_held_by_it[new process]": "Rulebook.floors_at forgets at a restart",
    "test_a_side_line_from_before_the_floor_brings_nothing_past_it": "Rulebook.floors_at knows only the line below",
    "test_a_revocation_that_was_let_in_and_taken_back_by_a_push_while_the_forge_is_down_counts": (
        "Rulebook._judged goes on with the old policy and the tip's when it can't be told what was let in since"
    ),
    "test_what_is_revoked_is_not_brought_back_while_nobody_can_tell_the_policy": "Pass._revoked takes unknown for no",
    "test_a_policy_in_the_baseline_counts[policy2-held2-same process]": "Rulebook._take forgets an unchanged baseline",
    "test_a_policy_in_the_baseline_counts[policy2-held2-new process]": "Rulebook._take forgets an unchanged baseline",
    "test_a_suspended_environment_is_left_alone_also_when_what_it_runs_is_revoked": (
        "revocation is asked before suspension, and what it holds is mended"
    ),
    "test_an_artifact_that_was_unpacked_and_never_live_is_not_rolled_back_to_in_a_freeze": (
        "Planner.was_live takes what is kept for what was live"
    ),
    "test_a_plan_says_nothing_of_the_promotion_that_it_does_not_know": "Gates._promotes is empty after a held approval",
    "test_a_plan_of_a_merge_tells_what_still_waits_for_an_approval": "Gates.proposed never asks the judge for its word",
    "test_a_plan_asks_in_the_order_of_the_pass": "Plan.held goes by the order of the gates, a pass by that of asking",
    "test_what_went_back_after_a_rewrite_goes_on_from_there[same process]": "the record names a commit without it",
    "test_what_went_back_after_a_rewrite_goes_on_from_there[new process]": "the record names a commit without it",
    "test_a_changed_file_that_is_changed_again_as_a_whole_still_meets_the_bar_of_before": (
        "Judge.begin_unread knows no bar but the newcomer's"
    ),
    "test_an_accepted_rewrite_that_drops_the_policy_loosens_nothing[same process]": "Rulebook._begin drops it",
    "test_an_accepted_rewrite_that_drops_the_policy_loosens_nothing[new process]": "Rulebook._begin drops it",
    "test_an_accepted_rewrite_counts_also_when_the_clock_was_set_back[same process]": "rewrites go by wall time",
    "test_an_accepted_rewrite_counts_also_when_the_clock_was_set_back[new process]": "rewrites go by wall time",
    "test_a_rewrite_that_nobody_accepted_leaves_no_policy_in_the_audit": "a status asks the rulebook all the same",
    "test_a_rewrite_can_be_accepted_also_when_the_store_was_lost_with_it": "accept-rewrite asks the store's tip alone",
}
_STALE = "a plan believes what was told of a soak before the clock jumped"
_RECORD = "after a rewrite the record names a commit without the file"
SEEDS = {
    34: _STALE,
    63: _STALE,
    95: _STALE,
    135: _STALE,
    145: _STALE,
    4: "a revocation that was let in binds only once the whole file is",
    46: "what a floor asks of an older change depends on the process",
    50: "a file that was removed comes back without its rule",
    79: _RECORD,
    105: _RECORD,
}
"""Histories that come upon one of them."""
