"""Where releases live: observe what is there, apply what is due, both idempotent."""
