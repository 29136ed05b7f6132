"""Our own copy of artifacts, by content. `copies` is the whole; `part` and `guard` are its two edges.

`announced` says when it begins to read, for whoever times a pass.
"""

from reconciler.custody.announced import Announced
from reconciler.custody.copies import DiskCustody

__all__ = ["Announced", "DiskCustody"]
