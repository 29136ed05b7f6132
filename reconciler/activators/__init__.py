"""Ways of starting what a release holds. What an environment may start is the operator's word in the settings."""
