"""Where artifacts come from: facts about CI runs, and their bytes. Verdicts are not given here."""
