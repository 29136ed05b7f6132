"""What is done beside passes, again and again: each compares what should be there with what was done last."""
