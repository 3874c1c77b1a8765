"""Denoisers: protocols, the exact table, transformers and checkpoint families.

The packed pattern: `packed` (who sees whom), `packed_pass` (the tokens of a pass over slots), `slot_cache` (keys and values),
`packed_forward` (the network over them, in plain torch), `joined` (its matrices, joined).
"""
