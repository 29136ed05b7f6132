"""What the daemon counts and times, for `GET /metrics` and for its log.

`passes` knows where the time of a pass goes, and what it recorded; `families` lists every metric of ours with its
labels and their values; `figures` keeps the numbers; `fleet` says how the environments stand, from what the runner has
in memory. Nothing here asks a store, a forge or a disk, and no free text becomes a label.

Only `figures` and `fleet` need the Prometheus client: a daemon that serves no metrics loads neither.
"""
