"""lm-evaluation-harness (EleutherAI, 0.4): the model class `fef`.

Importing this module registers it, as the harness finds no plug-ins by itself; `fef lm-eval` does that and then runs the
harness's own command line. Needs the extra `eval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from lm_eval.api.registry import register_model

from fef.decoding.network import Network
from fef.errors import OptionError, nearest_hint
from fef.eval.bound import monte_carlo_bound
from fef.eval.harness_requests import HarnessLM
from fef.eval.presets import LongPrompts
from fef.eval.prompts import fit_prompts
from fef.eval.tasks import Prompt
from fef.generation import Model, load
from fef.measure.answering import batches_of
from fef.models.device import default_device
from fef.readers import parse_value, whole_from
from fef.training.processes import DAY, joined

__all__ = ["FefLM"]


@register_model("fef")
class FefLM(HarnessLM):
    """A checkpoint under one method.

    pretrained, weights: as `fef.load` takes them; dtype: of its weights. likelihood: "chain", the exact log p under the
    chain law that the method samples at temperature 1, or "bound", the Monte-Carlo bound of `mc_samples` draws.
    long_prompts: refuse a prompt that leaves no room for the canvas, or "cut" its beginning (and say how many). own: as
    `HarnessLM` takes them. Under `torchrun` or `accelerate launch` each process answers its share.
    """

    def __init__(
        self,
        pretrained: str = "demo",
        likelihood: Literal["chain", "bound"] = "chain",
        mc_samples: int = 128,
        long_prompts: LongPrompts = "refuse",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,  # the harness always passes it; batch_size is exact here
        device: str | None = None,
        dtype: str | None = None,
        weights: str | None = None,
        **own: Any,
    ) -> None:
        super().__init__(**own)
        for name, value, allowed in (
            ("likelihood", likelihood, ("chain", "bound")),
            ("long_prompts", long_prompts, ("refuse", "cut")),
            ("dtype", dtype, ("float32", "bfloat16", "float16", None)),
        ):
            if value not in allowed:
                raise OptionError(f"Unknown {name} {value!r}.{nearest_hint(str(value), filter(None, allowed))}")
        self.joined = ExitStack()
        self.processes = self.joined.enter_context(joined(device or default_device(), DAY))
        self._rank, self._world_size = self.processes.rank, self.processes.size
        kind = {} if dtype is None else {"dtype": getattr(torch, dtype)}
        self.model: Model = load(pretrained, device=self.processes.device, weights=weights, **kind)
        self._device = self.model.network.device
        self.max_length = self.model.network.config.max_length
        self.likelihood, self.mc_samples = likelihood, mc_samples
        self.long_prompts: LongPrompts = long_prompts
        self.batch_size = whole_from("batch_size", parse_value(str(batch_size)), 1)

    @property
    def tokenizer_name(self) -> str:
        return self.model.name

    def answers(
        self, prompts: Sequence[Prompt], settings: Sequence[dict[str, Any]], seeds: Sequence[int]
    ) -> Iterator[tuple[int, str]]:
        """Prompts of equal settings are decoded together; each answer depends on its own example and seed alone."""
        fitted = self.fit(prompts, [own["max_new_tokens"] for own in settings])
        groups: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
        for place, own in enumerate(settings):
            groups[tuple(own.items())].append(place)
        for shared, places in groups.items():
            asked = {"method": self.method, **dict(shared), **self.options}
            for batch in batches_of([len(str(fitted[place])) for place in places], self.batch_size):
                some = [places[i] for i in batch]
                outs = self.model.generate([fitted[i] for i in some], seed=[seeds[i] for i in some], **asked)
                yield from ((i, out.text) for i, out in zip(some, outs, strict=True))

    def fit(self, prompts: Sequence[Prompt], rooms: Sequence[int]) -> list[Any]:
        """The prompts, cut where they must be and may be, which is said."""
        fitted = fit_prompts(self.model, prompts, rooms, self.long_prompts)
        cut = sum(f.cut_characters > 0 for f in fitted)
        if cut:
            print(f"{cut} of {len(fitted)} prompts lost their beginning to fit {self.model.name}.")
        return [f.prompt for f in fitted]

    def begun(self, prompts: Sequence[Prompt], rooms: Sequence[int]) -> Iterator[list[int]]:
        for prompt, room in zip(self.fit(prompts, rooms), rooms, strict=True):
            ids, start, _ = self.model.canvas(prompt, room, "")
            yield ids[:start]

    def logprob(self, before: list[int], target: list[int], temperature: float) -> float:
        ids, network = before + target, self.model.network
        places = range(len(before), len(ids))
        if temperature == 0 or self.likelihood == "chain":
            chain = {"method": self.method, "temperature": temperature, **self.options}
            return self.model.score_ids(ids, places, places, **chain).total
        ids_L, position_P = (torch.tensor(list(some), device=network.device) for some in (ids, places))
        banned = self.model.special_ids()
        return monte_carlo_bound(Network(network), ids_L, position_P, self.mc_samples, self.seed, banned)

    def text_ids(self, text: str) -> list[int]:
        return self.model.text_ids("text", text)

    def mark(self) -> list[int]:
        ids, start, _ = self.model.canvas("", 1, "")
        return ids[:start]

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.world_size == 1:
            return tensor
        parts = [torch.zeros_like(tensor.cpu()) for _ in range(self.world_size)]
        torch.distributed.all_gather(parts, tensor.cpu())
        return torch.stack(parts).flatten()

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        if self.world_size == 1:
            return [obj]
        parts: list[Any] | None = [None] * self.world_size if self.rank == dst else None
        torch.distributed.gather_object(obj, parts, dst=dst)
        return parts

    def barrier(self) -> None:
        self.processes.wait()
