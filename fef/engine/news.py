"""What the passes of packed rounds did, for those who stream a request or watch its rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fef.engine.job import Committed
from fef.engine.requests import PassResult, results_of
from fef.engine.seated import Seated
from fef.engine.slots import Numbers, PassRequest
from fef.models.packed_pass import RoundShape

__all__ = ["read_news"]


def read_news(news: Numbers, asked: Sequence[tuple[Seated, PassRequest]], columns: int, shape: RoundShape) -> None:
    """Tell of one pass. news: by request the result (`SlotState.collect`), of that many columns, and behind it the drafts of
    those that are watched (`SlotState.drafts_kept`). shape: of the pass."""
    drafts = news[:, columns:].tolist()
    # of texts that nobody watches only what is new is read: a host has hundreds of rounds per second
    known = [one.told if one.watch is None and pass_ is one.pass_ else 0 for one, pass_ in asked]
    results = results_of(news[:, :columns], known)
    for (one, pass_), first, result, kept in zip(asked, known, results, drafts, strict=True):
        if one.job.committed is not None:
            tell_committed(one.job.committed, pass_.order[first:], result)
            if pass_ is one.pass_:
                one.told = first + len(result.tokens)
        if one.watch is not None:
            count, depths = kept[0], len(kept) // 2
            tokens, numbers = kept[1 : 1 + count], kept[1 + depths : 1 + depths + count]
            one.watch.read(pass_, result, shape, list(zip(tokens, numbers, strict=True)))


def tell_committed(committed: Committed, places: Iterable[int], result: PassResult) -> None:
    """Add what is new in the tokens of a pass, at the first of these places, to what is known."""
    for place, token, logprob in zip(places, result.tokens, result.logprobs, strict=False):
        committed.setdefault(int(place), (token, logprob))
