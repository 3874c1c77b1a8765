"""What the model classes for lm-evaluation-harness share: its requests read, asked and answered."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import lm_eval.models  # noqa: F401 (its own models are registered when the first one is asked for, unless there are some)
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from fef.errors import OptionError, nearest_hint
from fef.eval.tasks import Message, Prompt

__all__ = ["CHAT", "HarnessLM"]

GENERATION = ("until", "do_sample", "temperature", "top_p", "top_k", "max_gen_toks")
CHAT = "fef-chat:"  # marks a prompt that holds messages: the checkpoint's own template comes later, in the model
REPEAT = 1_000_003  # seeds between two answers to one example
NO_TOKEN = -1
T = TypeVar("T")


class HarnessLM(LM):
    """A method for the harness, wherever it decodes.

    max_new_tokens: the canvas length of every answer; by default the task's `max_gen_toks`. temperature, top_p, top_k: by
    default the task's. check_greedy: False leaves out the second scoring that tells whether a continuation is greedy (it then
    never is). options: of the method.
    """

    max_length: int  # of prompt and canvas together

    def __init__(
        self,
        method: str = "fef",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
        check_greedy: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self.method, self.options = method, options
        self.max_new_tokens, self.seed, self.check_greedy = max_new_tokens, seed, check_greedy
        self.sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k}

    @abstractmethod
    def answers(
        self, prompts: Sequence[Prompt], settings: Sequence[dict[str, Any]], seeds: Sequence[int]
    ) -> Iterator[tuple[int, str]]:
        """The answer to each prompt with its number, as they come. settings: as `decoding_settings` has them."""

    @abstractmethod
    def logprob(self, before: Any, target: list[int], temperature: float) -> float:
        """log p (nats) of token ids behind a prompt, which `begun` or token ids are."""

    @abstractmethod
    def text_ids(self, text: str) -> list[int]:
        """The token ids of a text."""

    @abstractmethod
    def mark(self) -> list[int]:
        """What stands before every text."""

    def begun(self, prompts: Sequence[Prompt], rooms: Sequence[int]) -> Iterable[Any]:
        """What `logprob` takes for each prompt, which leaves room for so many tokens."""
        return prompts

    def each(self, work: Callable[..., T], *items: Iterable[Any]) -> Iterator[T]:
        """The results of the work, in order."""
        return map(work, *items)

    def apply_chat_template(self, chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """The messages as text that `prompt_of` reads back."""
        if not add_generation_prompt:
            raise OptionError("fef starts every answer itself, so a task with a begun answer (gen_prefix) cannot run.")
        return CHAT + json.dumps(list(chat_history))

    def decoding_settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A task's generation settings in our names, under those that the model was given. Raises OptionError."""
        for name in given:
            if name not in GENERATION:
                raise OptionError(f"Unknown generation setting {name!r}.{nearest_hint(name, GENERATION)}")
        task: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "top_k": 0}
        if given.get("do_sample", given.get("temperature", 0) > 0):
            task |= {"temperature": 1.0} | {name: given[name] for name in task if name in given}
        own = {name: value for name, value in self.sampling.items() if value is not None}
        return task | own | {"max_new_tokens": self.max_new_tokens or int(given.get("max_gen_toks", 256))}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each (context, generation settings), up to the first of the stop strings `until`."""
        prompts = [prompt_of(request.args[0]) for request in requests]
        settings = [self.decoding_settings(request.args[1]) for request in requests]
        answers = self.answers(prompts, settings, seeds_of(requests, self.seed))
        found = (
            (place, postprocess_generated_text(text, requests[place].args[1].get("until"), None))
            for place, text in answers
        )
        return self.kept("generate_until", requests, found, disable_tqdm)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """log p (nats) of each continuation behind its context, on a canvas of exactly its length, and whether it is the
        greedy one."""
        pairs = [with_its_space(*request.args) for request in requests]
        targets = list(self.each(self.text_ids, [continuation for _, continuation in pairs]))
        before = self.begun([prompt_of(context) for context, _ in pairs], [max(1, len(target)) for target in targets])
        found = self.each(lambda prompt, target: self.score(prompt, target, self.check_greedy), before, targets)
        return self.kept("loglikelihood", requests, enumerate(found), disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p (nats) of each whole text. A text that is too long is scored in windows, every token once, each behind as
        much as half a canvas of the text before it."""
        mark = self.mark()
        room = self.max_length - len(mark) - 1

        def total(request: Instance) -> float:
            windows = get_rolling_token_windows(self.text_ids(request.args[0]), NO_TOKEN, room, max(1, room // 2))
            return sum(
                self.score(mark + [token for token in before if token != NO_TOKEN], target, check_greedy=False)[0]
                for before, target in map(make_disjoint_window, windows)
            )

        found = self.each(total, requests)
        return self.kept("loglikelihood_rolling", requests, enumerate(found), disable_tqdm)

    def score(self, before: Any, target: list[int], check_greedy: bool) -> tuple[float, bool]:
        """log p of `target` behind `before`, and (if asked) whether each of its tokens is the greedy one of the chain."""
        if not target:
            return 0.0, True
        return self.logprob(before, target, 1.0), check_greedy and self.logprob(before, target, 0.0) == 0.0

    def kept(self, name: str, requests: Sequence[Instance], found: Iterable[tuple[int, Any]], quiet: bool) -> list[Any]:
        """The results by the numbers of their requests, in the harness's cache, too."""
        results: list[Any] = [None] * len(requests)
        for place, result in tqdm(found, total=len(requests), disable=quiet or self.rank > 0, desc=f"fef {name}"):
            results[place] = result
            self.cache_hook.add_partial(name, requests[place].args, result)
        return results


def prompt_of(context: str) -> Prompt:
    messages: list[Message] = json.loads(context.removeprefix(CHAT)) if context.startswith(CHAT) else []
    return messages or context


def seeds_of(requests: Sequence[Instance], first: int) -> list[int]:
    """A seed for each: of its example, and another one for every further answer to it."""
    seen, seeds = Counter[int](), list[int]()
    for request in requests:
        seeds.append(first + request.doc_id + REPEAT * seen[request.doc_id])
        seen[request.doc_id] += 1
    return seeds


def with_its_space(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of a text context goes to the continuation: words are tokens with the space before them."""
    bare = context if context.startswith(CHAT) else context.rstrip()
    return bare, context[len(bare) :] + continuation
