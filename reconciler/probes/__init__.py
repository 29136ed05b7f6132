"""Ways of asking whether a release is healthy: each asks once, within a deadline, and says in one line what came."""
