"""What the benchmarks share: where they run, how sides take turns, what a process used, how results are shown."""
