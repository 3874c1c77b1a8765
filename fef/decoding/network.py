"""A uniform, checked view of any denoiser: logits at chosen positions, rows of different lengths, visible noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.errors import DenoiserError, FefError, InputError, OptionError
from fef.laws.noise import AbsorbingNoise, SiteNoise, UniformNoise
from fef.models.demask import DependencyHead
from fef.models.draft_head import DraftHead
from fef.models.profile import load_profile
from fef.models.protocols import PaddedDenoiser
from fef.models.stale import FullPass, KeptKeys, StaleCache, full_pass
from fef.models.transformer import Transformer
from fef.readers import LARGEST, whole

__all__ = ["Network", "failures_named", "failures_told", "is_out_of_memory"]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

MAX_BATCH_TOKENS = 1 << 17  # canvas tokens per physical batch; a longer list of rows runs in pieces of one counted call


class Network:
    """Wraps a denoiser (see `fef.models.protocols`). Raises InputError or DenoiserError where it breaks its promise.

    Shapes: R rows, L canvas length, P positions asked for, V vocabulary.
    """

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        mask_id = whole(getattr(denoiser, "mask_id", None))
        if not callable(denoiser) or mask_id is None or not 0 <= mask_id <= LARGEST:
            raise InputError(
                f"{type(denoiser).__name__} is not a denoiser: it must be callable on ids [B, L] and have an integer "
                "`mask_id`, a token id. Set `denoiser.mask_id = ...` on your function or module."
            )
        self.denoiser = denoiser
        self.mask_id: int = mask_id
        self.largest_id: int = mask_id  # of the ids that the sampling settings name
        self.calls = 0  # of the denoiser
        # logits per position: of the denoiser, as its config says or a call has shown; of a drafter, as a call has shown
        self.width: int | None = denoiser.config.vocab_size if isinstance(denoiser, Transformer) else None
        self.drafted_width: int | None = None
        self.noise: SiteNoise = getattr(denoiser, "noise", None) or AbsorbingNoise(mask_id)

    @property
    def name(self) -> str:
        """What the denoiser is called in certificates and messages: its own `name`, else that of its function or class."""
        own = getattr(self.denoiser, "name", None) or getattr(self.denoiser, "__name__", None)
        return own or type(self.denoiser).__name__

    @property
    def weight_format(self) -> str | None:
        """int8 or fp8 if the denoiser's weights are quantized (see `fef.models.quantize`)."""
        return getattr(self.denoiser, "weight_format", None)

    @property
    def device(self) -> torch.device | None:
        return getattr(self.denoiser, "device", None)

    @property
    def vocab_size(self) -> int | None:
        return getattr(self.denoiser, "vocab_size", None)

    @property
    def max_length(self) -> int | None:
        config = getattr(self.denoiser, "config", None)
        return getattr(config, "max_length", None)

    @property
    def visible_noise(self) -> bool:
        return isinstance(self.noise, UniformNoise)

    @property
    def packed(self) -> Transformer | None:
        """The network itself if it was trained for the packed attention pattern, which knows masks only."""
        denoiser = self.denoiser
        if not isinstance(denoiser, Transformer) or self.visible_noise:
            return None
        return denoiser if denoiser.config.packed else None

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a text or a turn, the end of text first: the denoiser's `end_ids`, or its config's EOS id."""
        eos_id = getattr(getattr(self.denoiser, "config", None), "eos_id", None)
        return tuple(getattr(self.denoiser, "end_ids", () if eos_id is None else (eos_id,)))

    @property
    def dependency_head(self) -> DependencyHead | None:
        found: DependencyHead | None = self.extra("dependency_head")
        return found

    @property
    def draft_head(self) -> DraftHead | None:
        """One that came with a network of the packed law, where the network is and in its type."""
        found: DraftHead | None = None if self.packed is None else self.extra("draft_head")
        if found is None or self.packed is None:
            return None
        return found.to(self.packed.device, self.packed.embed.weight.dtype)

    def information_profile(self, file: str | None) -> tuple[float, ...]:
        """The profile in a file, or the one that came with the checkpoint. Raises OptionError where there is none."""
        if file is not None:
            return load_profile(Path(file))
        profile: tuple[float, ...] | None = self.extra("information_profile")
        if profile is None:
            raise OptionError(
                f"{self.name} comes without an information profile. Measure one with `fef profile` and give profile=FILE, or "
                "set the denoiser's `information_profile` to the nats of fef.information_profile."
            )
        return profile

    def extra(self, name: str) -> Any:
        """An attribute of the denoiser, or of what came with its checkpoint."""
        return getattr(self.denoiser, name, None) or getattr(getattr(self.denoiser, "extras", None), name, None)

    @property
    def block_causal(self) -> bool:
        return isinstance(self.denoiser, Transformer) and self.denoiser.config.attention == "block-causal"

    @property
    def casts_shadows(self) -> bool:
        """Can a pass hold masks in the shadow of other tokens? Not where hidden states predict the next position."""
        return isinstance(self.denoiser, Transformer) and not self.denoiser.config.shift

    @property
    def pads(self) -> bool:
        return isinstance(self.denoiser, PaddedDenoiser)

    def logits_at(
        self, ids_RL: Tensor, positions_RP: Tensor, lengths_R: Tensor | None = None, keep_RL: Tensor | None = None
    ) -> Tensor:
        """Logits [R, P, V]. Runs in pieces when the batch is large."""
        piece = max(1, MAX_BATCH_TOKENS // ids_RL.shape[1])
        if len(ids_RL) <= piece:
            return self._run(ids_RL, positions_RP, lengths_R, keep_RL)
        cuts = [slice(i, i + piece) for i in range(0, len(ids_RL), piece)]
        return torch.cat([self._run(ids_RL[c], positions_RP[c], part(lengths_R, c), part(keep_RL, c)) for c in cuts])

    def transformer(self, what: str) -> Transformer:
        """The network itself. Raises OptionError, saying `what` asks for it, for other denoisers."""
        if not isinstance(self.denoiser, Transformer):
            raise OptionError(f"{what} needs a fef Transformer, not {self.name}: leave it out, or load a checkpoint.")
        return self.denoiser

    def hidden_at(self, ids_BL: Tensor, positions_BS: Tensor, lengths_B: Tensor | None) -> tuple[Tensor, Tensor]:
        """Final hidden states that predict `positions_BS` [B, S, D], and the logits [B, S, V] they give."""
        model = self.transformer("reading hidden states")
        hidden_BSD = model.hidden_at(ids_BL, positions_BS, lengths_B)
        return hidden_BSD, model.logits(hidden_BSD)

    def full_pass(
        self,
        ids_BL: Tensor,
        positions_BS: Tensor,
        shadows_BC: Tensor,
        lengths_B: Tensor | None,
        *,
        together: bool = False,
    ) -> FullPass:
        model = self.transformer("cache")
        return full_pass(model, ids_BL, positions_BS, shadows_BC, lengths_B, together=together)

    def kept_keys(self, ids_BL: Tensor) -> KeptKeys:
        """Room for the keys and values of these canvases."""
        return StaleCache.empty(self.transformer("cache"), ids_BL)

    def padded_logits(self, ids_RL: Tensor, positions_RP: Tensor, lengths_R: Tensor | None) -> Tensor:
        """Logits [R, P, V] of a denoiser that takes lengths."""
        assert isinstance(self.denoiser, PaddedDenoiser)
        return self.denoiser.logits_at(ids_RL, positions_RP, lengths_R)

    def _run(self, ids_RL: Tensor, positions_RP: Tensor, lengths_R: Tensor | None, keep_RL: Tensor | None) -> Tensor:
        padded = self.pads
        self.calls += 1
        with failures_named(f"{self.name} failed at its call {self.calls}", ids_RL, self.mask_id):
            if padded:
                logits = self.padded_logits(ids_RL, positions_RP, lengths_R)
            else:
                assert lengths_R is None, "decode refuses ragged rows for a denoiser without lengths"
                logits = self.denoiser(ids_RL) if keep_RL is None else self.denoiser(ids_RL, keep_RL)
        logits = self.check(logits, positions_RP if padded else ids_RL)
        if self.width is None:
            self.check_width(ids_RL, logits.shape[-1])
        return logits if padded else logits.gather(1, positions_RP[..., None].expand(-1, -1, logits.shape[-1]))

    def check(self, logits: Any, like: Tensor, who: str = "denoiser") -> Tensor:
        """Logits [R, P, V] as they were returned for the positions or ids `like` [R, P]."""
        if not isinstance(logits, Tensor) or logits.is_nested or logits.ndim != 3 or logits.shape[:2] != like.shape:
            whole_shape = isinstance(logits, Tensor) and not logits.is_nested
            got = tuple(logits.shape) if whole_shape else type(logits).__name__
            raise DenoiserError(
                f"The {who} returned {got} for {tuple(like.shape)} positions; it must return [B, L, V]."
            )
        if logits.layout is not torch.strided:
            raise DenoiserError(f"The {who} returned sparse logits; they must be dense. Return logits.to_dense().")
        if logits.dtype not in _FLOATS:
            raise DenoiserError(
                f"The {who} returned logits of dtype {logits.dtype}; they must be floating point, of 16 bits or more. "
                "Return logits.float()."
            )
        if logits.device != like.device:
            raise DenoiserError(
                f"The {who} returned logits on {logits.device} for ids on {like.device}. Return logits.to(ids.device), or "
                "give the denoiser its `device`."
            )
        if logits.shape[-1] <= self.mask_id:
            raise DenoiserError(
                f"The {who} returned {logits.shape[-1]} logits per position, but the mask_id is {self.mask_id}; the "
                "vocabulary must count the mask id (give it logit -inf)."
            )
        if logits.shape[-1] <= self.largest_id:
            raise OptionError(
                f"eos_id or a banned id is {self.largest_id}, but the {who} returned {logits.shape[-1]} logits a "
                "position; give ids inside its vocabulary."
            )
        if self.width not in (None, logits.shape[-1]):
            raise DenoiserError(
                f"The {who} returned {logits.shape[-1]} logits per position and the denoiser {self.width} before; the "
                "vocabulary must be the same at every call."
            )
        if who == "denoiser" and self.drafted_width not in (None, logits.shape[-1]):
            raise DenoiserError(
                f"The drafter returned {self.drafted_width} logits per position and the denoiser {logits.shape[-1]}; the "
                "vocabulary must be the same."
            )
        if who == "drafter":
            self.drafted_width = logits.shape[-1]
        return logits

    def check_width(self, ids_RL: Tensor, width: int) -> None:
        """Keep the width of the first logits. Raises InputError where the canvas holds an id beyond it."""
        largest = int(ids_RL.max())
        if largest >= width:
            raise InputError(
                f"ids hold {largest}, outside the vocabulary (0 to {width - 1}, by the denoiser's logits)."
            )
        self.width = width


@contextmanager
def failures_named(what: str, ids_RL: Tensor, mask_id: int) -> Iterator[None]:
    """Turn an error of the user's own function on `ids_RL` into a DenoiserError that says `what` failed, where and why."""

    def words(why: str) -> str:
        return (
            f"{what}, on ids {list(ids_RL.shape)} {ids_range(ids_RL)}: {why}. Correct it, or give ids that it knows (the "
            f"mask id {mask_id} is one of them)."
        )

    with failures_told(words):
        yield


@contextmanager
def failures_told(words: Callable[[str], str]) -> Iterator[None]:
    """Turn an error of the user's own function into a DenoiserError in these words, which are given the cause.

    Errors of fef, of missing memory and interrupts pass as they are.
    """
    try:
        yield
    except FefError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise DenoiserError(words(cause(error))) from error


def is_out_of_memory(error: Exception) -> bool:
    """On a CPU torch raises a plain RuntimeError for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def ids_range(ids_RL: Tensor) -> str:
    try:
        return f"from {int(ids_RL.min())} to {int(ids_RL.max())}"
    except RuntimeError:  # a device that failed gives nothing back
        return f"on {ids_RL.device}, which failed"


def cause(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def part(tensor: Tensor | None, piece: slice) -> Tensor | None:
    return None if tensor is None else tensor[piece]
