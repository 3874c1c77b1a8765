"""Every method in settings that reach each of its parts; on a canvas of about ten tokens each does several rounds."""

from __future__ import annotations

from typing import Any

__all__ = ["EXACT_CACHE", "GREEDY", "METHODS", "under_packed_law"]

GREEDY = ("ssd", "freedave")  # defined at temperature 0 only

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("sequential", {"cfg_scale": 0.5, "contrast": 0.5}),
    ("fef", {"survival": 0.3, "verify": "rows", "cfg_scale": 0.5}),
    ("fef", {"survival": 0.3, "verify": "packed"}),
    ("fef", {"survival": 0.5, "verify": "rows", "planner": "influence", "draft": "fresh"}),
    ("fef", {"steps": 3, "remask": "remdm", "schedule": "cosine", "verify": "rows"}),
    ("dual-exact", {"window": 3, "verify": "rows"}),
    ("dual-exact", {"window": 4, "verify": "packed", "accept": "rejection"}),
    ("deer", {"window": 3}),
    ("deer", {"window": 5, "accept": "rejection"}),
    ("apd", {"share": 0.5, "lookahead": 6}),
    ("apd-exact", {"window": 4}),
    ("apd-exact", {"window": 3, "accept": "block", "share": 0.2}),
    ("ssmd", {"window": 4}),
    ("ssmd", {"window": 3, "accept": "rejection", "order": "left-to-right", "block_length": 5}),
    ("dual", {"block_length": 4, "drafts": 2, "keep": "kl"}),
    ("dual", {"cache": "delayed", "tokens_per_step": 2}),
    ("demask", {"tau": 0.2, "influence": "head"}),
    ("demask", {"tau": 0.2, "influence": "probe"}),
    ("low-confidence", {"left_bias": 1.0, "tokens_per_step": 2}),
    ("random", {"steps": 4, "block_length": 4}),
    ("origin", {"steps": 4}),
    ("remdm", {"steps": 4, "eta": 0.7}),
    ("remdm", {"steps": 6, "strategy": "conf"}),
    ("remdm", {"steps": 6, "strategy": "loop", "t_on": 0.7, "t_off": 0.3, "alpha_on": 0.5, "eta": 0.6}),
    ("maskgit-plus", {"alg_temp": 0.5}),
    ("topk-margin", {"steps": 4}),
    ("entropy", {"steps": 6, "block_length": 4}),
    ("threshold", {"threshold": 0.4, "block_length": 4}),
    ("threshold", {"threshold": 0.4, "block_length": 4, "cache": "dual"}),
    ("factor", {"cache": "prefix"}),
    ("delayed-cache", {"refresh": 3, "block_length": 4, "tokens_per_step": 2}),
    ("entropy-bounded", {"gamma": 0.8}),
    ("klass", {"threshold": 0.3, "epsilon": 0.1}),
    ("klass", {"threshold": 0.3, "epsilon": 0.3, "block_length": 4, "after_eos": "free"}),
    ("schedule", {"steps": 3}),
    ("ssd", {"block_length": 4}),
    ("freedave", {"tokens_per_step": 2}),
    ("wino", {"threshold": 0.3, "keep": 0.5}),
    ("saber", {"rate": 1.0, "tokens_per_step": 3, "block_length": 4}),
    ("saber", {"rate": 1.0, "tokens_per_step": 3, "rule": "abstract"}),
    ("dcd", {"window": 4}),
    ("dcd", {"window": 3, "accept": "rejection", "block_length": 5, "schedule": "cosine"}),
    ("eso", {"tokens_per_step": 3, "share": 0.6}),
    ("eso-exact", {"window": 4, "share": 0.5}),
    ("adjust", {"tokens": 3}),
    ("adjust", {"tokens": 2, "block_length": 5, "after_eos": "free"}),
    ("policy", {"block_length": 4}),
    ("policy", {"policy_temperature": 0.0, "after_eos": "free"}),
]

EXACT_CACHE: list[tuple[str, dict[str, Any]]] = [
    ("sequential", {"cache": "prefix"}),
    ("fef", {"cache": "prefix", "window": 3}),
    ("threshold", {"cache": "prefix"}),
]
"""With keys of finished blocks, which only a block-causal network has; `threshold` runs with old ones elsewhere."""


def under_packed_law(method: str, options: dict[str, Any]) -> bool:
    """Does it ask for a network that was trained for the packed pattern?"""
    return method in ("eso", "eso-exact") or options.get("verify") == "packed"
