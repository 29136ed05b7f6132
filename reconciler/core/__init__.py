"""The judge: bytes and facts in, values out. No I/O, no clock, no log, so each attack is a one-line test."""
