"""What this machine gives: the time, disk, locks, memory, programs, and a folder for state. Decides nothing."""
