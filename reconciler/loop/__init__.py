"""The long-running loop: what wakes it, whose pass is due, and the workers that carry passes out."""
