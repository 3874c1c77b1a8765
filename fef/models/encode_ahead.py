"""Many texts to ids, ahead of the one who works with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from fef.models.tokenizer import Tokenizer
from fef.models.typed import Guarded, encode_guarded

__all__ = ["encode_ahead"]

_TOGETHER = 32  # texts of one call, which the threads of the tokenizer share
_AHEAD = 2 * _TOGETHER  # texts that were read and whose ids were not given: of one call, and of the next one


def encode_ahead(tokenizer: Tokenizer, texts: Iterable[Guarded]) -> Generator[list[int], None, None]:
    """Ids of texts, in their order. Who asks for them reads the texts, one at a time, so that work done in between is never
    held up for long; another thread encodes them, mostly without Python's lock. What `texts` raises is raised behind the ids
    of the texts before it. Closed before its end, this waits for calls that have begun."""
    source = iter(texts)
    read: list[Guarded] = []
    begun: deque[Future[list[list[int]]]] = deque()
    ready: deque[list[int]] = deque()
    failed: Exception | None = None
    more = True
    with ThreadPoolExecutor(1) as pool:  # which has no thread before there is something to do
        while more or begun or ready:
            while more and len(read) + _TOGETHER * len(begun) + len(ready) < _AHEAD:
                try:
                    read.append(next(source))
                except StopIteration:
                    more = False
                except Exception as error:
                    failed, more = error, False
                if len(read) == _TOGETHER or (read and not more):
                    begun.append(pool.submit(encode_guarded, tokenizer, read))
                    read = []
            if not ready and begun:
                ready.extend(begun.popleft().result())
            if ready:
                yield ready.popleft()
    if failed is not None:
        raise failed
