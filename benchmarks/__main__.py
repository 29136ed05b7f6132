"""`make bench`: every benchmark, each as a table with its ratios."""

from __future__ import annotations

from benchmarks import merge_to_live

if __name__ == "__main__":
    merge_to_live.main()
