"""Self-supervised learning on your own data."""

import os

__version__ = "0.1.0"

# Huge pages for large tensors make steps on a CPU faster. Torch reads this when it first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
