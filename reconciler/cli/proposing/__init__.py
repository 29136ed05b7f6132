"""What `promote` and `rollback` propose: the evidence for it, and the branch that carries it."""
