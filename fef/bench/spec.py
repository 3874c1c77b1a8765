"""A method with its options as one word, for command lines: `label=name:option=value,option=value`; and the lists of them
that `fef bench` runs when none are given, or all are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fef.errors import OptionError
from fef.readers import parse_options

__all__ = ["ALL_SPECS", "DEFAULT_SPECS", "MethodSpec", "parse_spec", "parse_specs"]

DEFAULT_SPECS = (
    "fef",
    "sequential:verify=packed",
    "fef:verify=rows",
    "sequential",
    "low-confidence",
    "low-confidence:block_length=32",
    "low-confidence:tokens_per_step=4",
)

# What `--methods all` runs of a method; one that is not here runs with its defaults, one that needs a
# causal model, or a layer that demo has not, not at all.
ALL_SPECS: Mapping[str, tuple[str, ...]] = {
    "sequential": ("sequential", "sequential:verify=packed"),
    "fef": (
        "fef",
        "fef:window=32,anchors=3",
        "fef:verify=rows",
        "fef:verify=rows,window=32",
        "fef:verify=rows,survival=0.2",
        "fef:verify=rows,draft=fresh,planner=influence,survival=0.2",
        "fef:accept=block",
        "fef:steps=2",
        "fef:steps=4,remask=remdm",
    ),
    "dual-exact": ("dual-exact", "dual-exact:verify=rows,block_length=32"),
    "deer": (),
    "apd": (),
    "apd-exact": (),
    "dcd": (),
    "eso": ("eso", "eso:share=0.5"),
    "eso-exact": ("eso-exact", "eso-exact:share=0.5"),
    "ssmd": (),
    "policy": ("policy", "policy:policy_temperature=0"),
    "dual": ("dual", "dual:tokens_per_step=4", "dual:tokens_per_step=4,keep=kl", "dual:tokens_per_step=4,limit=0.9"),
    "demask": (
        "demask",
        "demask:tau=0.03",
        "demask:tau=0.3",
        "demask:block_length=32",
        "demask:block_length=32,tau=0.01",
    ),
    "low-confidence": (
        "low-confidence",
        "low-confidence:block_length=32",
        "low-confidence:block_length=32,tokens_per_step=2",
        "low-confidence:tokens_per_step=4",
        "low-confidence:block_length=32,cfg_scale=0.5",
        "low-confidence:left_bias=1.0",
        "low-confidence:left_bias=1.0,contrast=0.1",
    ),
    "random": ("random", "random:tokens_per_step=4"),
    "threshold": ("threshold", "threshold:cache=prefix", "threshold:cache=dual"),
    "factor": ("factor", "factor:factor=0.5", "factor:factor=0.5,cache=dual"),
    "entropy": ("entropy", "entropy:tokens_per_step=1", "entropy:steps=32"),
    "entropy-bounded": ("entropy-bounded", "entropy-bounded:gamma=0.01", "entropy-bounded:gamma=0.5"),
    "ssd": ("ssd", "ssd:block_length=32"),
    "freedave": ("freedave:block_length=32,tokens_per_step=2",),
    "delayed-cache": ("delayed-cache", "delayed-cache:block_length=32"),
    "wino": ("wino", "wino:block_length=32"),
}


@dataclass(frozen=True)
class MethodSpec:
    """A method's name and options under a label that tables show."""

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_specs(
    texts: Iterable[str] | None, methods: Iterable[str], also: Iterable[str] | None = None
) -> list[MethodSpec]:
    """Specs out of texts of several each, with spaces between (None: `DEFAULT_SPECS`), and after them those of `also`.

    `all` stands for every one of `methods`; a word of `also` may be a label. Raises OptionError for no spec at all and for
    one label with two meanings.
    """
    every = [spec for name in methods for spec in ALL_SPECS.get(name, (name,))]
    words = DEFAULT_SPECS if texts is None else [word for text in texts for word in text.split()]
    if not words:
        raise OptionError("The list of methods is empty; name at least one, for example fef, or all.")
    found: dict[str, MethodSpec] = {}
    for word in words:
        for spec in map(parse_spec, every if word == "all" else [word]):
            if found.setdefault(spec.label, spec) != spec:
                raise OptionError(f"Two methods have the label {spec.label!r}; give them different ones.")
    for word in also or ():
        if word not in found:
            found[word] = parse_spec(word)
    return list(found.values())


def parse_spec(text: str) -> MethodSpec:
    """`"fef"`, `"fef:window=8,verify=rows"` or `"mine=fef:window=8"`. Raises OptionError for other forms."""
    head, _, tail = text.partition(":")
    label, equals, name = head.rpartition("=")
    if not name.strip() or (equals and not label.strip()):
        raise OptionError(f"{text!r} is no method; write name or name:option=value,option=value.")
    options = parse_options(tail.split(",")) if tail else {}
    return MethodSpec(label.strip() or text.strip(), name.strip(), options)
