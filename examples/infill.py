"""Infilling: the model writes what stands between a question and a given end.

    python examples/infill.py

Autoregressive models cannot see what follows. A diffusion model does, so the text fits the end it is given: here a right
and a wrong result.
"""

from __future__ import annotations

import fef

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"


def main() -> None:
    model = fef.load("demo")
    for end in ("\n#### 30", "\n#### 42"):
        out = model.generate(QUESTION, suffix=end, max_new_tokens=42)
        print(f"{out.text}{end}\n  {int(out.stats['calls'])} passes, {out.certificate.kind}")
        for ending in ("Now he has 12 + 18 = 30 apples.", "Now he has 12 + 18 = 40 apples."):
            text = f"Tom starts with 12 apples. The bags hold 3 * 6 = 18 apples. {ending}"
            print(f"  {model.score(QUESTION, text, suffix=end, max_new_tokens=42).total:.1f} nats: {ending}")


if __name__ == "__main__":
    main()
