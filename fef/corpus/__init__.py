"""The training corpus of the checkpoint `smol`: conversations from training sets, from variations of them and from grammars.

Reading order: `numerals`, `expressions` and `implied` read a solved problem; `quantities` says what a number may become;
`template` and `variation` draw other numbers, `check` holds every sum against its result, `problems` makes a source of it.
`equations`, `distractors` and `two_kinds` are short problems, `arithmetic` plain sums, `families` and `functions` the rest;
`dialogue` holds prompts and `self_text` filters a model's answers to them. `overlap` keeps test items out; `shares`,
`sources` and `build` put everything together.
"""
