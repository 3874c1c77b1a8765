"""fef: decode diffusion language models from their joint law, fast, and say which law was sampled."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fef.api import Decoded, certify, decode
    from fef.decoders import MethodInfo, methods
    from fef.decoding.certificate import Certificate
    from fef.engine.engine import Engine
    from fef.errors import CheckpointError, DenoiserError, EngineError, FefError, GrammarError, InputError, OptionError
    from fef.generation import Model, load
    from fef.grammar.compiled import TokenGrammar, compile_grammar
    from fef.laws.information import Profile
    from fef.laws.noise import AbsorbingNoise, UniformNoise
    from fef.laws.row_costs import RowCosts
    from fef.models.row_costs import load_row_costs, measure_row_costs, save_row_costs
    from fef.models.table import TableDenoiser
    from fef.profiling import information_profile
    from fef.text import Generation

__version__ = "0.1.0"

# Loaded on first use: `import fef` and `fef --help` must not wait for torch.
_HOME = {
    "AbsorbingNoise": "fef.laws.noise",
    "Certificate": "fef.decoding.certificate",
    "CheckpointError": "fef.errors",
    "Decoded": "fef.api",
    "DenoiserError": "fef.errors",
    "Engine": "fef.engine.engine",
    "EngineError": "fef.errors",
    "FefError": "fef.errors",
    "Generation": "fef.text",
    "GrammarError": "fef.errors",
    "InputError": "fef.errors",
    "MethodInfo": "fef.decoders",
    "Model": "fef.generation",
    "OptionError": "fef.errors",
    "Profile": "fef.laws.information",
    "RowCosts": "fef.laws.row_costs",
    "TableDenoiser": "fef.models.table",
    "TokenGrammar": "fef.grammar.compiled",
    "UniformNoise": "fef.laws.noise",
    "certify": "fef.api",
    "compile_grammar": "fef.grammar.compiled",
    "decode": "fef.api",
    "information_profile": "fef.profiling",
    "load": "fef.generation",
    "load_row_costs": "fef.models.row_costs",
    "measure_row_costs": "fef.models.row_costs",
    "methods": "fef.decoders",
    "save_row_costs": "fef.models.row_costs",
}

__all__ = [
    "AbsorbingNoise",
    "Certificate",
    "CheckpointError",
    "Decoded",
    "DenoiserError",
    "Engine",
    "EngineError",
    "FefError",
    "Generation",
    "GrammarError",
    "InputError",
    "MethodInfo",
    "Model",
    "OptionError",
    "Profile",
    "RowCosts",
    "TableDenoiser",
    "TokenGrammar",
    "UniformNoise",
    "__version__",
    "certify",
    "compile_grammar",
    "decode",
    "information_profile",
    "load",
    "load_row_costs",
    "measure_row_costs",
    "methods",
    "save_row_costs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fef' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
