"""The checks of all environments, made again and again beside the passes.

`rota` says which check is made next and what its answer means for its row; `asking` has the threads that make them;
`remembered` is for who only looks, and asks nobody.
"""

from reconciler.prober.asking import Prober
from reconciler.prober.remembered import Remembered

__all__ = ["Prober", "Remembered"]
