"""lm-evaluation-harness (EleutherAI, 0.4): the model class `fef-server`, which asks a running `fef serve`.

It gives what `fef` gives on the same checkpoint: log-likelihoods are those of `/v1/score`, on a canvas of the continuation's
own length, which `echo` cannot tell, since it does not say where a context ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from fef.errors import EngineError, InputError
from fef.eval.harness_requests import chat_text, decoding_settings, prompt_of, seeds_of, until, with_its_space
from fef.eval.tasks import Message, Prompt
from fef.readers import whole_from

__all__ = ["FefServerLM"]

NO_TOKEN = -1
_PATIENCE = 600.0  # seconds for an answer
T = TypeVar("T")


@register_model("fef-server")
class FefServerLM(LM):
    """base_url: of the server, "http://127.0.0.1:8000". num_concurrent: requests at once, which changes no answer. The key,
    if the server asks for one, is FEF_API_KEY. Other arguments as those of the class `fef`."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        method: str = "fef",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
        check_greedy: bool = True,
        num_concurrent: int = 8,
        batch_size: int | str = 1,  # the harness always passes these three
        max_batch_size: int | None = None,
        device: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self.own = {"method": method, "options": options}
        self.max_new_tokens, self.seed, self.check_greedy = max_new_tokens, seed, check_greedy
        self.sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        self.num_concurrent = whole_from("num_concurrent", num_concurrent, 1)
        [card] = self.asked("/v1/models")["data"]
        self.model_name, self.max_length = str(card["id"]), int(card["max_model_len"])

    @property
    def tokenizer_name(self) -> str:
        return self.model_name

    def apply_chat_template(self, chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """The messages as text that `generate_until` and `loglikelihood` read back."""
        return chat_text(chat_history, add_generation_prompt)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each (context, generation settings), up to the first of the stop strings `until`."""

        def answer(request: Instance, seed: int) -> str:
            context, given = request.args
            settings = decoding_settings(given, self.sampling, self.max_new_tokens)
            body = {"max_tokens": settings.pop("max_new_tokens"), "seed": seed, "fef": self.own, **settings}
            prompt = prompt_of(context)
            path = "/v1/completions" if isinstance(prompt, str) else "/v1/chat/completions"
            [choice] = self.asked(path, body | asked_with(prompt))["choices"]
            text = choice["text"] if isinstance(prompt, str) else choice["message"]["content"]
            return until(text, given.get("until", []))

        asked = list(zip(requests, seeds_of(requests, self.seed), strict=True))
        texts = self.side_by_side(lambda one: answer(*one), asked, "generate_until", disable_tqdm)
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """log p (nats) of each continuation behind its context, on a canvas of exactly its length, and whether it is the
        greedy one."""

        def scored(request: Instance) -> tuple[float, bool]:
            context, continuation = with_its_space(*request.args)
            target = self.ids_of(continuation)
            return self.score(asked_with(prompt_of(context)), target, self.check_greedy)

        found = self.side_by_side(scored, requests, "loglikelihood", disable_tqdm)
        for request, result in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, result)
        return found

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p (nats) of each whole text; a text that is too long in windows, as the class `fef` has them."""
        mark = self.asked("/tokenize", {"prompt": "", "add_special_tokens": True})["tokens"]
        room = self.max_length - len(mark) - 1

        def scored(request: Instance) -> float:
            windows = get_rolling_token_windows(self.ids_of(request.args[0]), NO_TOKEN, room, max(1, room // 2))
            total = 0.0
            for context, target in map(make_disjoint_window, windows):
                before = mark + [token for token in context if token != NO_TOKEN]
                total += self.score({"prompt": before or ""}, target, check_greedy=False)[0]
            return total

        found = self.side_by_side(scored, requests, "loglikelihood_rolling", disable_tqdm)
        for request, total in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return found

    def ids_of(self, text: str) -> list[int]:
        return list(self.asked("/tokenize", {"prompt": text})["tokens"])

    def score(self, prompt: dict[str, Any], target: list[int], check_greedy: bool) -> tuple[float, bool]:
        if not target:
            return 0.0, True
        body = {**prompt, "response_token_ids": target, "max_tokens": len(target), "fef": self.own}

        def total(temperature: float) -> float:
            return float(self.asked("/v1/score", body | {"temperature": temperature})["logprob"])

        return total(1.0), check_greedy and total(0.0) == 0.0

    def side_by_side(self, work: Callable[[Any], T], items: Sequence[Any], name: str, quiet: bool) -> list[T]:
        with ThreadPoolExecutor(self.num_concurrent) as pool:
            return list(tqdm(pool.map(work, items), total=len(items), disable=quiet, desc=f"fef-server {name}"))

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


def asked_with(prompt: Prompt) -> dict[str, Any]:
    return {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}


def message_of(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return repr(raw[:200])
