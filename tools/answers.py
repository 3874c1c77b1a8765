"""Token ids of answers, a line each, to hold against those of another state of the code.

    python tools/answers.py --methods "fef sequential:verify=packed threshold" > before.txt

The same lines before and after a change mean that it moved no token of any method, greedy or drawn.
"""

from __future__ import annotations

import argparse

import fef
from fef.bench.spec import parse_specs
from fef.decoders import METHODS
from fef.tasks import FAMILIES, generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", default="fef sequential:verify=packed threshold low-confidence")
    parser.add_argument("--count", type=int, default=20, help="problems per family")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    given = parser.parse_args()
    model = fef.load(given.model, device=given.device)
    for spec in parse_specs([given.methods], METHODS):
        for temperature in (0.0, 0.7):
            for family in FAMILIES:
                prompts = [problem.prompt for problem in generate(family, given.count, seed=0, split="held-out")]
                asked = {"method": spec.name, "max_new_tokens": given.max_new_tokens, **spec.options}
                for i, out in enumerate(model.generate(prompts, temperature=temperature, seed=1, **asked)):
                    print(
                        spec.label, temperature, family, f"{i}:", out.token_ids, f"in {out.stats['calls']:.0f} passes"
                    )


if __name__ == "__main__":
    main()
