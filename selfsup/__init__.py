"""Self-supervised learning on your own data."""

__version__ = "0.1.0"
