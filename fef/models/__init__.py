"""Denoisers: protocols, the exact table, transformers and checkpoint families."""
