"""Who approved what: raw facts about how a commit came to the branch. Verdicts are not given here."""
