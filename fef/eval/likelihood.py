"""How likely a checkpoint finds held-out answers: exact nats per token under its chain law, one JSON line.

    python -m fef.eval.likelihood --model smol --data dialogues.jsonl --max-new-tokens 192

Every answer of a conversation counts, behind all that was said before it, with the token that ends it. The length of the
canvas is a part of the law. Temperature is 1. With --base it is the causal model that the checkpoint was adapted from.

Shapes: L tokens of a text with its prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch

import fef
from fef.decoding.causal import find_causal
from fef.decoding.network import Network
from fef.errors import InputError
from fef.generation import Model
from fef.measure.environment import ENVIRONMENT, environment
from fef.measure.fields import Count
from fef.measure.intervals import mean_per_token
from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.program import option, program, told, typed
from fef.measure.record import Record, RecordKind, check_kept
from fef.measure.table import Sheet, markdown
from fef.models.transformer import Transformer
from fef.readers import read_file, whole_from
from fef.text import Prompt
from fef.training.conversations import Answer, read_answers

__all__ = [
    "LIKELIHOOD_KIND",
    "AnswerNats",
    "causal_nats",
    "causal_of",
    "likelihood_page",
    "main",
    "mean_nats",
    "scored",
]


@dataclass(frozen=True)
class AnswerNats:
    """-log p of an answer with its end. line: of the file."""

    line: int
    tokens: Count
    nats: float


def check(record: Record) -> None:
    """Raise ValueError for a record without answers."""
    if not record.of(AnswerNats):
        raise ValueError("it has no answers")


LIKELIHOOD_KIND = RecordKind(
    "likelihood",
    "python -m fef.eval.likelihood --save",
    {"answers": AnswerNats},
    setup=dict.fromkeys(("model", "law", "data", "file"), str)
    | {"max_new_tokens": int, "environment": ENVIRONMENT | {"dtype": str}},
    facts={"left_out": int},
    check=check,
)


def scored(
    model: Model, answers: Sequence[Answer], max_new_tokens: int, verify: str = "auto", base: bool = False
) -> list[AnswerNats]:
    """Those that fit the canvas. verify: of the method fef, whose chain law this is; base: the law of `causal_of` instead.

    Raises InputError where no answer fits, OptionError for a law that the checkpoint does not have.
    """
    causal, found = causal_of(model) if base else None, list[AnswerNats]()
    for answer in answers:
        prompt: Prompt = answer.before if model.template is not None else answer.before[-1]["content"]
        try:
            ids, start, stop = model.canvas(prompt, max_new_tokens, "")
            whole, counted = model.with_response(ids, range(start, stop), answer.response)
        except InputError:
            continue
        if causal is not None:
            nats = causal_nats(causal, whole[: counted.start], whole[counted.start : counted.stop])
        else:
            nats = -model.score_ids(whole, counted, range(start, stop), verify=verify).total
        found.append(AnswerNats(answer.line, len(counted), nats))
    if not found:
        raise InputError(f"None of {len(answers)} answers fits a canvas of {max_new_tokens}; raise --max-new-tokens.")
    return found


def causal_of(model: Model) -> Transformer:
    """The causal model of a checkpoint. Raises OptionError where it came with none."""
    found = find_causal(None, Network(model.network)).network.denoiser
    assert isinstance(found, Transformer), "checkpoints come with networks"
    return found


@torch.inference_mode()
def causal_nats(causal: Transformer, begin: Sequence[int], text: Sequence[int]) -> float:
    """-log p of a text behind its prompt, nats."""
    ids_1L = torch.tensor([[*begin, *text]], device=causal.device)
    logp_1LV = causal(ids_1L)[:, len(begin) - 1 : -1].float().log_softmax(-1)
    return -float(logp_1LV.gather(-1, ids_1L[:, len(begin) :, None]).sum())


def mean_nats(found: Sequence[AnswerNats]) -> tuple[float, float]:
    """Per token of all answers, and its standard error, from answer to answer."""
    return mean_per_token([one.nats for one in found], [one.tokens for one in found])


HOW_TO_READ = """\
- *nats per token*: exact -log p at temperature 1 of the answers with their ends, per token; its standard error is from answer
  to answer. A *causal* law is that of the model which the checkpoint was adapted from.
- *more than the first*: the difference from the first line on the answers that both scored, with its own standard error."""


HEADER = ("model", "law", "answers", "left out", "tokens", "nats per token", "more than the first")


def likelihood_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`, of records in the order of their names; those of one file of answers share a table."""
    found = list(records.values())
    shared = found[0].setup
    for each in found:
        if any(each.setup[part] != shared[part] for part in ("max_new_tokens", "environment")):
            raise InputError(f"{name} is to be made of several canvases or devices; give records of one.")
    sections = []
    for data in dict.fromkeys(each.setup["data"] for each in found):
        some = [each for each in found if each.setup["data"] == data]
        sections.append((data, markdown(Sheet(HEADER, [line_of(each, some[0]) for each in some]))))
    environment = shared["environment"]
    said = [
        f"Canvas of {shared['max_new_tokens']} tokens, temperature 1, {environment['dtype']}.",
        f"Device: {device_words(environment)}. Versions: {version_words(environment)}.",
    ]
    title = name.replace("-", " ").capitalize()
    return results_page(title, introduction(found, said, "answers"), sections, HOW_TO_READ, remarks), None


def line_of(record: Record, first: Record) -> list[str]:
    answers, setup = record.of(AnswerNats), record.setup
    counts = len(answers), record.facts["left_out"], f"{sum(one.tokens for one in answers):,}"
    more = "" if record is first else with_error(*above(record, first))
    return [setup["model"], setup["law"], *map(str, counts), with_error(*mean_nats(answers)), more]


def above(record: Record, first: Record) -> tuple[float, float]:
    """Nats per token more than of the first record, on the answers of both, and the standard error from answer to answer."""
    begun = {one.line: one for one in first.of(AnswerNats)}
    both = [(one, begun[one.line]) for one in record.of(AnswerNats) if one.line in begun]
    if record.setup["file"] != first.setup["file"] or not both:
        what = f"two files {first.setup['data']}, or have no answer in common"
        raise InputError(f"The records are of {what}; give records of the same answers.")
    return mean_per_token([one.nats - other.nats for one, other in both], [one.tokens for one, _ in both])


def with_error(mean: float, error: float) -> str:
    return f"{mean:.2f} (± {error:.2f})"


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    data: Path = option(help="JSONL of messages, or of prompts and responses")
    model: str = option("smol", "a directory, a repository, demo or smol")
    limit: int = option(200, "answers at most")
    max_new_tokens: int = option(192, "length of the canvas")
    verify: str = option("auto", "the law", choices=["auto", "packed", "rows"])
    base: bool = option(False, "the law of the causal model that the checkpoint came with")
    device: str | None = option(None, "cpu or cuda; by default a GPU if there is one")
    save: Path | None = option(None, "a record of all answers, of which `fef report` makes a page")

    def __post_init__(self) -> None:
        whole_from("--limit", self.limit, 1)
        whole_from("--max-new-tokens", self.max_new_tokens, 1)


@program(Options, __doc__)
def main(given: Options) -> None:
    command = typed("-m", "fef.eval.likelihood")
    check_kept(given.save, LIKELIHOOD_KIND, command, given.data)
    digest = None if given.save is None else sha256(read_file(given.data)).hexdigest()
    answers = read_answers(given.data)[: given.limit]
    model = fef.load(given.model, device=given.device)
    found = scored(model, answers, given.max_new_tokens, given.verify, given.base)
    asked = {"model": given.model, "law": "causal" if given.base else given.verify}
    counts = {"answers": len(found), "left_out": len(answers) - len(found), "tokens": sum(one.tokens for one in found)}
    mean, error = mean_nats(found)
    told(**asked, **counts, nats_per_token=mean, error=error)
    if given.save is not None:
        dtype = str(model.network.embed.weight.dtype).removeprefix("torch.")
        setup = asked | {
            "max_new_tokens": given.max_new_tokens,
            "data": given.data.name,
            "file": digest,
            "environment": environment(str(model.network.device)) | {"dtype": dtype},
        }
        facts = {"left_out": counts["left_out"]}
        record = Record(LIKELIHOOD_KIND, command, setup, facts, finished=True, path=given.save)
        record.add(found)
        record.keep()


if __name__ == "__main__":
    main()
