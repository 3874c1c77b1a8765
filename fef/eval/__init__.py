"""Evaluation on the field's tasks: presets of published settings, a local runner, and the lm-evaluation-harness classes.

In reading order:

datasets, fields    task files: JSON lines, and what a field of them may hold
tasks               where examples lie, how they are asked, how an answer is scored
settings            how a task is run
presets             settings under which a figure was published, and what a user changes of them
prompts             prompts that leave room for the canvas
numbers, letters    the final number, or the chosen letter, of an answer
mathematics, latex  the final expression of an answer, and when two are the same
code, programs      the program of an answer, and whether it passes its tests
runner              prompts through a model, answers scored and kept
given_answers       answers that something else wrote
outcome             a run as one small record
pairs               two runs on the same problems
remarks, page       remarks that quote figures of saved runs; tables, picture and page of many
likelihood          log p of held-out answers, exact; `likelihood_page`, of several models side by side
bound               the Monte-Carlo bound of it
harness_requests    what lm-evaluation-harness asks of a model and how it is answered; `harness`, by a checkpoint,
                    `harness_server`, by a running `fef serve`; `local_tasks`, its tasks from files here
"""
