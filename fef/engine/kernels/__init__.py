"""Triton kernels of the engine. Import them only where Triton is installed; they run on CUDA.

Reading order: `load` (requests into slots), `compose` (the tokens of a pass), `pass_inputs` (what its layers read of them),
`linear` (weight products, cut by `tiles`), `gate`, `route` and `experts` (mixtures), `norm`, `rotate` (queries and keys to
the cache), `attention` (the packed pattern over a cache, cut by `attention_blocks`, its keys in the parts of
`attention_parts`), `draw` (law and token from logits, by the numbers of `noise`; `draw_join` joins its parts), `texts`
(rows under grammars), `advance` (what is committed), `move` (its keys to their places), `collect` (results); `slots_ahead`,
`head` and `growth`: the drafts of a draft head and their trees; `overlap`: a kernel starts while the one before it ends;
`pointers`: the tensors of a record as one argument.

Every kernel is batch invariant: the bits of a token, row or slot do not depend on what else is in the launch. Tile
sizes along reduced dimensions follow from the model's shape alone, sums run in a fixed order, and nothing is added by
atomics. Every launch can be captured in a CUDA graph: static grids, no wait for the device, outputs from `torch.empty`.
"""
