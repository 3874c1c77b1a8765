"""lm-evaluation-harness (EleutherAI, 0.4): the model class `fef-server`, which asks a running `fef serve`.

It gives what `fef` gives on the same checkpoint: log-likelihoods are those of `/v1/score`, on a canvas of the continuation's
own length, which `echo` cannot tell, since it does not say where a context ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lm_eval.api.registry import register_model

from fef.errors import EngineError, InputError
from fef.eval.harness_requests import HarnessLM
from fef.eval.tasks import Prompt
from fef.readers import whole_from

__all__ = ["FefServerLM"]

_PATIENCE = 600.0  # seconds for an answer
T = TypeVar("T")


@register_model("fef-server")
class FefServerLM(HarnessLM):
    """base_url: of the server, "http://127.0.0.1:8000". num_concurrent: requests at once, which changes no answer. The key,
    if the server asks for one, is FEF_API_KEY. own: as `HarnessLM` takes them."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        num_concurrent: int = 8,
        batch_size: int | str = 1,  # the harness always passes these three
        max_batch_size: int | None = None,
        device: str | None = None,
        **own: Any,
    ) -> None:
        super().__init__(**own)
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self.decoder = {"method": self.method, "options": self.options}
        self.num_concurrent = whole_from("num_concurrent", num_concurrent, 1)
        [card] = self.asked("/v1/models")["data"]
        self.model_name, self.max_length = str(card["id"]), int(card["max_model_len"])

    @property
    def tokenizer_name(self) -> str:
        return self.model_name

    def answers(
        self, prompts: Sequence[Prompt], settings: Sequence[dict[str, Any]], seeds: Sequence[int]
    ) -> Iterator[tuple[int, str]]:
        return enumerate(self.each(self.answer, prompts, settings, seeds))

    def answer(self, prompt: Prompt, settings: dict[str, Any], seed: int) -> str:
        body = {"max_tokens": settings.pop("max_new_tokens"), "seed": seed, "fef": self.decoder, **settings}
        if isinstance(prompt, str):
            return str(self.asked("/v1/completions", body | {"prompt": prompt})["choices"][0]["text"])
        return str(self.asked("/v1/chat/completions", body | {"messages": prompt})["choices"][0]["message"]["content"])

    def logprob(self, before: Prompt | list[int], target: list[int], temperature: float) -> float:
        messages = isinstance(before, list) and before and isinstance(before[0], dict)
        prompt = {"messages": before} if messages else {"prompt": before or ""}
        body = {
            "response_token_ids": target,
            "max_tokens": len(target),
            "fef": self.decoder,
            "temperature": temperature,
        }
        return float(self.asked("/v1/score", prompt | body)["logprob"])

    def text_ids(self, text: str, **more: bool) -> list[int]:
        return list(self.asked("/tokenize", {"prompt": text, **more})["tokens"])

    def mark(self) -> list[int]:
        return self.text_ids("", add_special_tokens=True)

    def each(self, work: Callable[..., T], *items: Iterable[Any]) -> Iterator[T]:
        with ThreadPoolExecutor(self.num_concurrent) as pool:
            yield from pool.map(work, *items)

    def asked(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the server answers. Raises InputError for what it refuses, EngineError where it fails or is not there."""
        headers = {"content-type": "application/json"}
        if key := os.environ.get("FEF_API_KEY"):
            headers["authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self.base_url + path, data, headers), timeout=_PATIENCE) as answer:
                return json.load(answer)
        except HTTPError as error:
            words = f"{self.base_url} answered {error.code}: {message_of(error.read())}"
            raise (InputError if error.code < 500 else EngineError)(words) from None
        except (URLError, TimeoutError) as error:
            raise EngineError(f"There is no answer from {self.base_url} ({error}). Start `fef serve` first.") from None


def message_of(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return repr(raw[:200])
