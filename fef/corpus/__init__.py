"""The training corpus of the checkpoint `smol`: conversations from training sets, from variations of them and from grammars.

Reading order: `numerals`, `expressions` and `implied` read a solved problem; `check` holds its sums against their results,
`sums` makes the one form of answer of them; `quantities` says what a number may become; `template` and `variation` draw
other numbers, `problems` makes a source of it, `wording` says it in other words, `joined` makes one problem of two.
`inventory` and `phrases` fill the sentences of stories: `chains` in steps (of a `move` each: `chain_starts`, `chain_moves`,
`chain_asks`), `comparisons`, `scenes` (of one `scene`: `scenes_of_parts`, `scenes_of_rates`), `two_kinds` (each a `story`
of `stories`). `equations`, `distractors` are short problems, `arithmetic` plain sums, `families` and `functions` the rest;
`dialogue` holds prompts and `self_text` filters a model's answers to them. `overlap` keeps test items and held-out problems
out, `masked` counts templates; `shares`, `sources` and `build` put everything together. Models write: `answer` what a
causal one says to prompts, `ask` what its users would say, `own` what a diffusion model says. `sample` keeps a model's
right answers, `mistakes` counts its wrong ones.
"""
