"""Signatures by the tools that people trust for them already: `tools` runs these, `checkpoints` is the audit's use.

Nothing here knows who may sign what: a forge has its people, an auditor brings a key.
"""

from reconciler.signing.checkpoints import Signer, Verifier, key_of, make_key

__all__ = ["Signer", "Verifier", "key_of", "make_key"]
