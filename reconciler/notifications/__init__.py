"""Tells people of changes, by way of apprise: `words` says what, `teller` when and on which route, `channel` sends.

Nothing of apprise is ever in this process: `post`, a program of its own, sends one message and ends. So a server that
hangs is ended at a deadline, one that answers without an end fills nobody's memory, and whatever a library logs of an
address that holds a secret goes nowhere.
"""
