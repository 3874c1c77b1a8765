"""Every source by its name: where its k-th example comes from, and what was left out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from fef.corpus import arithmetic, chains, comparisons, families, joined, scenes, two_kinds
from fef.corpus.distractors import Fillers, with_filler
from fef.corpus.equations import solved_by_steps
from fef.corpus.example import CorpusExample, Solved, maths_example
from fef.corpus.functions import TRAINING_TASKS, asked_function
from fef.corpus.overlap import TestItems
from fef.corpus.problems import Variations, variations_of
from fef.corpus.self_text import kept_answers, read_conversations
from fef.corpus.shares import DIALOGUE, SHARES
from fef.corpus.sums import as_sums, is_explained
from fef.corpus.tidy import tidy
from fef.corpus.unmarked import with_all_marks
from fef.corpus.wording import reworded, with_condition
from fef.errors import InputError
from fef.eval.datasets import read_examples, text, text_or_number
from fef.eval.tasks import TASKS

__all__ = ["Drawn", "Listed", "Source", "Split", "read_sources", "split_problems"]

Item = TypeVar("Item")
_MOST_DRAWS = 1000


class Source(Protocol):
    """left_out: how many items or draws did not come into the corpus, by the reason."""

    left_out: Counter[str]

    def example(self, index: int, rng: random.Random) -> CorpusExample:
        """The example of this index; `rng` is its own."""
        ...


@dataclass
class Listed(Generic[Item]):
    """Items that are gone through again and again."""

    name: str
    items: Sequence[Item]
    render: Callable[[str, Item, random.Random], CorpusExample]
    left_out: Counter[str] = field(default_factory=Counter)

    def example(self, index: int, rng: random.Random) -> CorpusExample:
        return self.render(self.name, self.items[index % len(self.items)], rng)

    def without(self, tests: TestItems, reason: str = "overlap") -> Listed[Item]:
        """Those that overlap with no test item; the others are counted under the reason. Raises InputError for none."""
        kept = [item for item in self.items if not tests.overlap(self.render(self.name, item, random.Random(0)))]
        if not kept:
            raise InputError(
                f"Nothing is left of {self.name}: each of its {len(self.items)} items overlaps with a test item."
            )
        return Listed(self.name, kept, self.render, self.left_out + Counter({reason: len(self.items) - len(kept)}))


@dataclass
class Drawn:
    """Examples drawn one by one, until one comes out and overlaps with no test item."""

    name: str
    draw: Callable[[str, random.Random], CorpusExample | None]
    tests: TestItems
    left_out: Counter[str] = field(default_factory=Counter)

    def example(self, index: int, rng: random.Random) -> CorpusExample:
        for _ in range(_MOST_DRAWS):
            found = self.draw(self.name, rng)
            if found is None:
                self.left_out["drawn in vain"] += 1
            elif self.tests.overlap(found):
                self.left_out["overlap"] += 1
            else:
                return found
        raise InputError(f"{self.name} gives nothing in {_MOST_DRAWS} draws; its training file is too small.")


def read_sources(folder: Path, self_text: Path | None, split: Split) -> dict[str, Source]:
    """All sources, in the order of the shares; dialogue only with `self_text`. Raises InputError for a broken file."""
    gsm8k, short, tests = split.gsm8k, split.short, split.apart
    mbpp = Listed("mbpp", read_functions(folder), asked_function).without(tests)
    long_variations, short_variations = variations_of(gsm8k.items), variations_of(short.items)
    vary_long, vary_short = partial(draw_variation, long_variations), partial(draw_variation, short_variations)
    join = partial(draw_joined, short_variations, (long_variations, short_variations))
    fillers = Fillers.of(problem.question for problem in short.items)
    sources: dict[str, Source] = {
        "gsm8k": replace(gsm8k, render=render_reworded),
        "gsm8k-variation": Drawn("gsm8k-variation", vary_long, tests, long_variations.refused),
        "mawps-asdiv": replace(short, render=render_reworded),
        "mawps-asdiv-variation": Drawn("mawps-asdiv-variation", vary_short, tests, short_variations.refused),
        "joined": Drawn("joined", join, tests),
        "distractor": Drawn("distractor", partial(draw_distractor, short_variations, fillers), tests),
        **{name: Drawn(name, partial(draw_story, draw), tests) for name, draw in STORIES.items()},
        "arithmetic": Drawn("arithmetic", arithmetic.draw, tests),
        "families": Drawn("families", families.draw, tests),
        "mbpp": mbpp,
    }
    if self_text is not None:
        kept, dropped = kept_answers(DIALOGUE, read_conversations(self_text))
        sources[DIALOGUE] = Listed(DIALOGUE, kept, as_it_is, dropped).without(tests)
    return {name: sources[name] for name in SHARES if name in sources}


@dataclass(frozen=True)
class Split:
    """The solved problems to train on, those held out, and what no training example may overlap with: test items and held-out
    questions."""

    gsm8k: Listed[Solved]
    short: Listed[Solved]
    held_out: Sequence[tuple[CorpusExample, Solved]]
    apart: TestItems


def split_problems(folder: Path, tests: TestItems, held_out: int, seed: int) -> Split:
    """Takes `held_out` random problems of each file apart. Raises InputError for a broken file, or one that is too small."""
    read = {"gsm8k": read_gsm8k(folder), "mawps-asdiv": read_short_problems(folder)}
    sources = [chained(name, problems).without(tests) for name, problems in read.items()]
    examples: list[tuple[CorpusExample, Solved]] = []
    for source in sources if held_out else []:
        if held_out >= len(source.items):
            raise InputError(f"{source.name} has {len(source.items)} problems; hold fewer than that out.")
        rng = random.Random(f"{seed}/held-out/{source.name}")
        taken = rng.sample(source.items, held_out)
        examples += [(render_problem(source.name, problem, rng), problem) for problem in taken]
    apart = tests.joined(TestItems.of(problem.question for _, problem in examples)) if held_out else tests
    gsm8k, short = (source.without(apart, "held out") if held_out else source for source in sources)
    return Split(gsm8k, short, examples, apart)


def chained(name: str, problems: Sequence[Solved]) -> Listed[Solved]:
    """Those whose sums follow from the question one after the other, where need be those without a mark, too; how many do
    not is counted."""
    kept = []
    for problem in problems:
        for solution in (problem.solution, with_all_marks(problem.solution)):
            sums = as_sums(solution)
            if sums is not None and is_explained(problem.question, sums.splitlines()[:-1]):
                kept.append(Solved(problem.question, solution))
                break
    return Listed(name, kept, render_problem, Counter({"no chain of sums": len(problems) - len(kept)}))


def read_gsm8k(folder: Path) -> list[Solved]:
    task = TASKS["gsm8k"]
    return [Solved(tidy(row["question"]), row["answer"]) for row in task.read(folder / task.shots_file)]


def read_short_problems(folder: Path) -> list[Solved]:
    wanted = {"question": text, "equation": text, "answer": text_or_number}
    rows = read_examples(folder / "mawps_asdiv_train.jsonl", wanted)
    solved = (solved_by_steps(tidy(row["question"]), row["equation"], row["answer"]) for row in rows)
    return [problem for problem in solved if problem is not None]


def read_functions(folder: Path) -> list[Mapping[str, object]]:
    task = TASKS["mbpp"]
    return [row for row in task.read(folder / task.file) if row["task_id"] in TRAINING_TASKS]


def render_problem(source: str, problem: Solved, rng: random.Random) -> CorpusExample:
    return maths_example(source, problem.question, problem.solution, rng)


def render_reworded(source: str, problem: Solved, rng: random.Random) -> CorpusExample:
    return render_problem(source, Solved(reworded(problem.question, rng), problem.solution), rng)


def as_it_is(_: str, example: CorpusExample, __: random.Random) -> CorpusExample:
    return example


def draw_variation(variations: Variations, source: str, rng: random.Random) -> CorpusExample | None:
    problem = variations.vary_one(rng)
    return None if problem is None else render_reworded(source, problem, rng)


def draw_distractor(variations: Variations, fillers: Fillers, source: str, rng: random.Random) -> CorpusExample | None:
    problem = variations.vary_one(rng)
    filled = None if problem is None else with_filler(problem, fillers, rng)
    return None if filled is None else render_problem(source, filled, rng)


def draw_joined(
    first: Variations, second: Sequence[Variations], source: str, rng: random.Random
) -> CorpusExample | None:
    problem = joined.draw(first, rng.choice(second), rng)
    return None if problem is None else render_problem(source, problem, rng)


def draw_story(draw: Callable[[random.Random], Solved | None], source: str, rng: random.Random) -> CorpusExample | None:
    problem = draw(rng)
    return None if problem is None else render_problem(source, asked_with_condition(problem, rng), rng)


def asked_with_condition(problem: Solved, rng: random.Random) -> Solved:
    return replace(problem, question=with_condition(problem.question, rng))


STORIES: Mapping[str, Callable[[random.Random], Solved | None]] = {
    "two-kinds": two_kinds.draw,
    "story-steps": chains.draw,
    "story-comparison": comparisons.draw,
    "story-scene": scenes.draw,
}
