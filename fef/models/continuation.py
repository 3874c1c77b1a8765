"""Text that a causal network writes, many prompts at once: a static key-value cache, one pass per token.

Shapes: B rows, P prompt length, N new tokens, V vocabulary; Y, G, E as in `transformer`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fef.laws.pipeline import Sampling, log_law
from fef.models.transformer import KeyValues, Transformer

__all__ = ["continuations", "up_to_end"]

LOOK_EVERY = 8  # steps between looks at the device: has every row ended?


@torch.inference_mode()
def continuations(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float,
    top_p: float,
    banned: Sequence[int],
    generator: torch.Generator,
) -> list[list[int]]:
    """Ids that follow each prompt under the network's causal law, up to the first end token, which is left in.

    The network's hidden state at a token predicts the next one. Prompts of about one length cost least: the shorter ones
    are padded on the left. banned: ids that never occur. A row without an end token is cut at `max_new_tokens`.
    """
    assert model.config.attention == "causal", "other networks do not read from left to right"
    device, rows = model.device, len(prompts)
    longest = max(map(len, prompts))
    padding_B = torch.tensor([longest - len(p) for p in prompts], device=device)
    ids_BP = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=device)
    sampling = Sampling(
        torch.full((rows,), temperature, dtype=torch.float64, device=device),
        torch.full((rows,), top_p, dtype=torch.float64, device=device),
        torch.zeros(rows, dtype=torch.int64, device=device),
        torch.tensor(banned, dtype=torch.int64, device=device),
    )
    ends = torch.tensor(model.end_ids, device=device)
    index_T = torch.arange(longest + max_new_tokens, device=device)
    seen_BT = index_T >= padding_B[:, None]
    cache = empty_cache(model, rows, longest + max_new_tokens)
    new_BN = torch.zeros(rows, max_new_tokens, dtype=torch.int64, device=device)
    ended_B = torch.zeros(rows, dtype=torch.bool, device=device)
    fresh_BX, at = ids_BP, 0
    for step in range(max_new_tokens):
        stop = at + fresh_BX.shape[1]
        place_X = index_T[at:stop]
        # padding sees itself, so that no row of the attention is empty
        visible_BXT = (index_T[:stop] <= place_X[:, None]) & (
            seen_BT[:, None, :stop] | (index_T[:stop] == place_X[:, None])
        )
        past = KeyValues(cache.keys_YBGPE[..., :at, :], cache.values_YBGPE[..., :at, :])
        positions_BX = (place_X - padding_B[:, None]).clamp(min=0)
        hidden_BXD, new = model.trunk(fresh_BX, positions_BX, visible_BXT, past if at else None)
        for layer, (keys, values) in enumerate(new):
            cache.keys_YBGPE[layer, :, :, at:stop] = keys
            cache.values_YBGPE[layer, :, :, at:stop] = values
        law_BV = log_law(model.logits(hidden_BXD[:, -1:]), sampling)[:, 0].exp()
        new_BN[:, step] = torch.multinomial(law_BV, 1, generator=generator)[:, 0]
        ended_B |= torch.isin(new_BN[:, step], ends)
        fresh_BX, at = new_BN[:, step : step + 1], stop
        if step % LOOK_EVERY == LOOK_EVERY - 1 and bool(ended_B.all()):
            break
    return [up_to_end(row, model.end_ids) for row in new_BN[:, : step + 1].tolist()]


def empty_cache(model: Transformer, rows: int, length: int) -> KeyValues:
    config = model.config
    shape = (config.layers, rows, config.kv_head_count, length, config.head_size)
    return KeyValues(*(torch.empty(shape, dtype=model.embed.weight.dtype, device=model.device) for _ in range(2)))


def up_to_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    """The ids with the first end token, and nothing behind it."""
    return ids[: next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))]
