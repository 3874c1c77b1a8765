"""lm-evaluation-harness (EleutherAI, 0.4): the model class `fef`.

Importing this module registers it, as the harness finds no plug-ins by itself; `fef lm-eval` does that and then runs the
harness's own command line. Needs the extra `eval`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from fef.decoding.network import Network
from fef.errors import OptionError, nearest_hint
from fef.eval.bound import monte_carlo_bound
from fef.eval.harness_requests import chat_text, decoding_settings, prompt_of, seeds_of, until, with_its_space
from fef.eval.prompts import fit_prompts
from fef.eval.settings import LongPrompts
from fef.eval.tasks import Message
from fef.generation import Model, load
from fef.models.device import default_device
from fef.training.processes import DAY, joined

__all__ = ["FefLM"]

NO_TOKEN = -1


@register_model("fef")
class FefLM(LM):
    """A checkpoint under one method, for the harness.

    pretrained, weights: as `fef.load` takes them; dtype: of its weights. max_new_tokens: the canvas length of every answer;
    by default the task's `max_gen_toks`. temperature, top_p, top_k: by default the task's. likelihood: "chain", the exact
    log p under the chain law that the method samples at temperature 1, or "bound", the Monte-Carlo bound of `mc_samples`
    draws. check_greedy: False leaves out the second scoring that tells whether a continuation is greedy (it then never is).
    long_prompts: refuse a prompt that leaves no room for the canvas, or "cut" its beginning (and say how many). Every other
    argument is an option of the method. Under `torchrun` or `accelerate launch` each process answers its share.
    """

    def __init__(
        self,
        pretrained: str = "demo",
        method: str = "fef",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
        likelihood: Literal["chain", "bound"] = "chain",
        mc_samples: int = 128,
        check_greedy: bool = True,
        long_prompts: LongPrompts = "refuse",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,  # the harness always passes it; batch_size is exact here
        device: str | None = None,
        dtype: str | None = None,
        weights: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("likelihood", likelihood, ("chain", "bound")),
            ("long_prompts", long_prompts, ("refuse", "cut")),
            ("dtype", dtype, ("float32", "bfloat16", "float16", None)),
        ):
            if value not in allowed:
                raise OptionError(f"Unknown {name} {value!r}.{nearest_hint(str(value), filter(None, allowed))}")
        if not str(batch_size).isdigit() or int(batch_size) < 1:
            raise OptionError(f"batch_size={batch_size!r} is not allowed: give a whole number of at least 1.")
        self.joined = ExitStack()
        self.processes = self.joined.enter_context(joined(device or default_device(), DAY))
        self._rank, self._world_size = self.processes.rank, self.processes.size
        kind = {} if dtype is None else {"dtype": getattr(torch, dtype)}
        self.model: Model = load(pretrained, device=self.processes.device, weights=weights, **kind)
        self._device = self.model.network.device
        self.method, self.options = method, options
        self.max_new_tokens, self.seed = max_new_tokens, seed
        self.sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        self.likelihood, self.mc_samples, self.check_greedy = likelihood, mc_samples, check_greedy
        self.long_prompts: LongPrompts = long_prompts
        self.batch_size = int(batch_size)

    @property
    def tokenizer_name(self) -> str:
        return self.model.name

    def apply_chat_template(self, chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """The messages as text that `generate_until` and `loglikelihood` read back."""
        return chat_text(chat_history, add_generation_prompt)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each (context, generation settings), up to the first of the stop strings `until`.

        Requests of equal settings are decoded together; each answer depends on its own example and seed alone.
        """
        settings = [self.decoding_settings(request.args[1]) for request in requests]
        prompts = self.fit([request.args[0] for request in requests], [s["max_new_tokens"] for s in settings])
        seeds = seeds_of(requests, self.seed)
        groups: dict[str, list[int]] = defaultdict(list)
        for place, own in enumerate(settings):
            groups[json.dumps(own, sort_keys=True)].append(place)
        texts = [""] * len(requests)
        with tqdm(total=len(requests), disable=disable_tqdm or self.rank > 0, desc="fef generate_until") as bar:
            for settings_text, places in groups.items():
                places.sort(key=lambda place: -len(str(prompts[place])))
                for batch in (places[i : i + self.batch_size] for i in range(0, len(places), self.batch_size)):
                    batch_prompts: list[Any] = [prompts[i] for i in batch]
                    outs = self.model.generate(
                        batch_prompts,
                        method=self.method,
                        seed=[seeds[i] for i in batch],
                        **json.loads(settings_text),
                        **self.options,
                    )
                    for i, out in zip(batch, outs, strict=True):
                        texts[i] = until(out.text, requests[i].args[1].get("until", []))
                        self.cache_hook.add_partial("generate_until", requests[i].args, texts[i])
                    bar.update(len(batch))
        return texts

    def fit(self, contexts: Sequence[str], max_new_tokens: Sequence[int]) -> list[Any]:
        """The prompts, cut where they must be and may be, which is said."""
        fitted = fit_prompts(self.model, [prompt_of(c) for c in contexts], max_new_tokens, self.long_prompts)
        cut = sum(f.cut_characters > 0 for f in fitted)
        if cut:
            print(f"{cut} of {len(fitted)} prompts lost their beginning to fit {self.model.name}.")
        return [f.prompt for f in fitted]

    def decoding_settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """A task's generation settings in our names, under those that the model was given. Raises OptionError."""
        return decoding_settings(given, self.sampling, self.max_new_tokens)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """log p (nats) of each continuation behind its context, on a canvas of exactly its length, and whether it is the
        greedy one."""
        pairs = [with_its_space(*request.args) for request in requests]
        targets = [self.model.text_ids("continuation", continuation) for _, continuation in pairs]
        rooms = [max(1, len(target)) for target in targets]
        prompts = self.fit([context for context, _ in pairs], rooms)
        results = []
        work = zip(requests, prompts, targets, rooms, strict=True)
        for request, prompt, target, room in tqdm(
            work, total=len(requests), disable=disable_tqdm or self.rank > 0, desc="fef loglikelihood"
        ):
            ids, start, _ = self.model.canvas(prompt, room, "")
            results.append(self.score(ids[:start], target, self.check_greedy))
            self.cache_hook.add_partial("loglikelihood", request.args, results[-1])
        return results

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p (nats) of each whole text. A text that is too long is scored in windows, every token once, each behind as
        much as half a canvas of the text before it."""
        results = []
        for request in tqdm(requests, disable=disable_tqdm or self.rank > 0, desc="fef loglikelihood_rolling"):
            (text,) = request.args
            ids, start, _ = self.model.canvas("", 1, "")
            room = self.model.network.config.max_length - start - 1
            windows = get_rolling_token_windows(self.model.text_ids("text", text), NO_TOKEN, room, max(1, room // 2))
            total = 0.0
            for context, target in map(make_disjoint_window, windows):
                before = ids[:start] + [token for token in context if token != NO_TOKEN]
                total += self.score(before, target, check_greedy=False)[0]
            results.append(total)
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return results

    def score(self, before: list[int], target: list[int], check_greedy: bool) -> tuple[float, bool]:
        """log p of `target` behind `before`, and (if asked) whether each of its tokens is the greedy one of the chain."""
        if not target:
            return 0.0, True
        ids = before + target
        places = range(len(before), len(ids))
        chain = {"method": self.method, **self.options}
        if self.likelihood == "bound":
            device = self.model.network.device
            banned = torch.tensor([self.model.network.mask_id, *self.model.special_ids()], device=device)
            position_P = torch.tensor(list(places), device=device)
            total = monte_carlo_bound(
                Network(self.model.network),
                torch.tensor(ids, device=device),
                position_P,
                self.mc_samples,
                self.seed,
                banned,
            )
        else:
            total = self.model.score_ids(ids, places, places, temperature=1.0, **chain).total
        return total, check_greedy and self.model.score_ids(ids, places, places, temperature=0.0, **chain).total == 0.0

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
