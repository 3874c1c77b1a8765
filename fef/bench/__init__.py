"""Held-out accuracy and cost of decoding methods.

`spec` names methods, `evaluate` measures one, `run` all; `summary` makes rows of results and `record` a file; `table`,
`plot` and `page` show them. `predict` holds the paper's speeds against the closed form; `serve` measures the server beside
the engine.
"""
