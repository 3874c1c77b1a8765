"""One way of measuring. `fef bench`, `fef eval`, `fef verify` and the programs in `fef.bench` are lists of tasks for it.

In reading order:

fields          values of JSON as types say, or refused in plain words
record          what was found so far: rows, facts and failures under one setup, as one JSON value
run             a list of tasks: what a record has is not done again, and what fails does not stop the others
answers         an answer to a problem, from whatever decoded it, and the figures of many
answering       where answers come from: batches of the loop, or the engine
intervals       the 95 % interval of a share and that of a mean of pairs, and a test of pairs
table           a table in words, for the terminal or a page
page            a page in Markdown: what was typed, tables, verdicts, remarks, how to read it
plot, labels    pictures of accuracy against costs, and where their labels go
environment     versions, hardware, weights, and the most memory that was held
timing          the median time of work on a device, and a stopwatch
journal         answers of a long run, a line each, over several processes
program         options out of a dataclass, and errors as one sentence
"""
