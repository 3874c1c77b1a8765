"""An engine that tells what it does as a server's engine does, to nobody: what that costs it beside its rounds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from fef.engine.text import TextEngine
from fef.generation import Model
from fef.serve.letters import Command, Letter, Lost, Over, Stop, Submit, Wanted
from fef.serve.worker import Worker

__all__ = ["told_to_nobody"]


class Unread:
    """Plays the routes: so many streams, each of which asks the next request as soon as its last one is over."""

    def __init__(self, wanted: Sequence[Wanted], streams: int) -> None:
        self.left = iter(enumerate(wanted))
        self.streams, self.under_way = streams, 0
        self.tokens = 0  # that were drawn

    def commands(self, wait: bool) -> Iterator[Command]:
        while self.under_way < self.streams and (following := next(self.left, None)) is not None:
            self.under_way += 1
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
                self.under_way -= 1


def told_to_nobody(engine: TextEngine, prompts: Sequence[str], asked: Mapping[str, Any], streams: int) -> int:
    """Answer prompts, so many at once, prompt i with the seed i; gives the tokens drawn. asked: as in `TextEngine.submit`."""
    model, settings, wanted = cast(Model, engine.model), dict(asked), list[Wanted]()
    length = settings.pop("max_new_tokens")
    for seed, prompt in enumerate(prompts):
        ids, start, stop = model.canvas(prompt, length, "")
        wanted.append(Wanted(ids, [range(start, stop)], [None], settings | {"seed": seed}, stream=True, watch=False))
    line = Unread(wanted, streams)
    Worker(model, engine.engine, line).work()
    return line.tokens
