"""Held-out accuracy and cost of decoding methods, and small programs that measure one thing each.

`spec` names methods, `evaluate` measures one, `run` all as tasks of a record; `summary` makes rows of results, `page` shows
them. `predict` holds the paper's speeds against the closed form. `serve` measures the server beside the engine, `same_text`
its answers in any company, `start` what a small machine waits for, `training`, `attention`, `adapter` and `rehearsal` the
fine-tune, `drafts` what drafts are worth, untimed, `grammar` what grammars cost.
"""
