"""The five-minute tour, offline and on the real parts: git, signatures, a CI that builds, the daemon as a process.

Nothing here is an imitation: the repository is a bare one on disk, the people sign with keys of their own, the
artifacts are this project's own wheel, and what an attacker does is done to the very files. Everything is kept
in one folder, so that `down` leaves nothing. What the parts do is left to them: this package only does what
the people in the tour would type, and shows it as such.

From the bottom up: `folder` says where things are, `story` how they are told, `programs` runs a program;
`people`, `clone`, `ci` and `process` are the cast; `up` raises the curtain, and each other step of the tour
has a module of its own.
"""
