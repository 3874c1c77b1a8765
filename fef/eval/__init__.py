"""Evaluation on the field's tasks: presets of published settings, a local runner, and the lm-evaluation-harness classes.

In reading order:

datasets            task files: JSON lines, and what a field of them may hold
tasks               where examples lie, how they are asked, how an answer is scored
presets             how a task is run: settings under which a figure was published, and what a user changes of them
prompts             prompts that leave room for the canvas
numbers, letters    the final number, or the chosen letter, of an answer
mathematics         the final expression of an answer, and when two are the same
code                the program of an answer, and whether it passes its tests
runner              prompts through a model, answers scored and kept; answers that something else wrote
outcome             a run as one small record, and two of them on the same problems
page                tables, picture and page of saved runs, and remarks that quote their figures
likelihood          log p of held-out answers, exact, and a page of several models side by side
bound               the Monte-Carlo bound of it
harness_requests    what lm-evaluation-harness asks of a model and how it is answered; `harness`, by a checkpoint,
                    `harness_server`, by a running `fef serve`; `local_tasks`, its tasks from files here
"""
