"""Evaluation on the field's tasks: presets of published settings, a local runner, and the lm-evaluation-harness class.

`presets` are data, `tasks` word prompts and score answers, `datasets` reads JSON lines and `fields` their values, `runner`
decodes and keeps results, `outcome` is the record of a run, `pairs` compares two, `harness` is the bridge to
lm-evaluation-harness. `numbers`, `mathematics` (on `latex`), `letters` and `code` read answers, each by one small grammar.
"""
