"""Our own copy of artifacts, by content. `copies` is the whole; `part` and `guard` are its two edges."""

from reconciler.custody.copies import DiskCustody

__all__ = ["DiskCustody"]
