"""Structured output: answers of a form that you prescribe, as a part of the law.

    pip install 'fef[grammar]'
    python examples/structured_output.py

Each token's law is renormalised over what the grammar allows behind the tokens before it, drafts included. `log_mass` is the
log of the mass that the model itself gives to what is allowed, so it says how much the grammar had to force.
"""

from __future__ import annotations

import json

import fef

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"
SCHEMA = {
    "type": "object",
    "properties": {"apples": {"type": "integer"}, "sure": {"type": "boolean"}},
    "required": ["apples", "sure"],
    "additionalProperties": False,
}
GRAMMARS = ({"json": SCHEMA}, {"regex": r"#### [0-9]{1,2}"}, {"choice": ["more than 20", "fewer than 20"]})


def main() -> None:
    model = fef.load("demo")
    for grammar in GRAMMARS:
        out = model.generate(QUESTION, grammar=grammar, max_new_tokens=32, temperature=0.7, seed=1)
        assert out.log_mass is not None, "a text under a grammar"
        print(f"{next(iter(grammar))}: {out.text!r}, log mass {out.log_mass:.1f} nats, {out.certificate.kind}")
        if "json" in grammar:
            print("  read:", json.loads(out.text))


if __name__ == "__main__":
    main()
