"""The ids of the tiny random transformer that many tests share."""

from fef.verify.tables import tiny_network

__all__ = ["EOS", "MASK", "tiny_network"]

MASK = 7
EOS = 2
