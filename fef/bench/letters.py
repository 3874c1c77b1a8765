"""An engine that tells what it does as a server's engine does, to nobody: what that costs it beside its rounds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from fef.engine.text import TextEngine
from fef.generation import Model
from fef.serve.letters import Command, Letter, Lost, Over, Stop, Submit, Wanted
from fef.serve.worker import Worker
from fef.text import TextNetwork

__all__ = ["told_to_nobody"]


class Unread:
    """Plays the routes: so many streams, each of which asks the next request as soon as its last one is over."""

    def __init__(self, wanted: Sequence[Wanted], streams: int) -> None:
        self.left = iter(enumerate(wanted))
        self.free, self.under_way = streams, 0
        self.tokens = 0  # that were drawn

    def commands(self, wait: bool) -> Iterator[Command]:
        while self.free and (following := next(self.left, None)) is not None:
            self.free, self.under_way = self.free - 1, self.under_way + 1
            yield Submit(*following)
        if not self.under_way:
            yield Stop()

    def post(self, letter: Letter | Lost) -> None:
        """Raises the error of an engine or a request that has failed."""
        pickle.dumps(letter, pickle.HIGHEST_PROTOCOL)
        if isinstance(letter, Lost):
            raise letter.error
        for _, event in letter:
            if isinstance(event, Over):
                if event.result is None:
                    assert event.error is not None, "one of them"
                    raise event.error
                self.tokens += event.result.counters["committed"]
                self.free, self.under_way = self.free + 1, self.under_way - 1


def told_to_nobody(engine: TextEngine, prompts: Sequence[str], asked: Mapping[str, Any], streams: int) -> int:
    """Answer prompts, so many at once, prompt i with the seed i; gives the tokens drawn. asked: as in `TextEngine.submit`."""
    line = Unread([wanted_of(engine.model, prompt, seed=i, **asked) for i, prompt in enumerate(prompts)], streams)
    Worker(cast(Model, engine.model), engine.engine, line).work()
    return line.tokens


def wanted_of(model: TextNetwork, prompt: str, max_new_tokens: int, **settings: Any) -> Wanted:
    ids, start, stop = model.canvas(prompt, max_new_tokens, "")
    return Wanted(ids, [range(start, stop)], [None], settings, stream=True, watch=False)
