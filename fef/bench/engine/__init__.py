"""`fef bench --engine`: what passes of the fast engine cost, and what it serves against the decoders of the reference loop.

In reading order:

timing, bandwidth   medians of runs on a device; bytes that a pass must read, and how fast the device copies
shapes              networks of random weights: sizes without a checkpoint
passes, plain       passes of the engine; plain passes of whole canvases, the unit of one-token decoders
serving, rivals     problems answered by the engine; by the loop, as it runs and idealised
profile             where the time of a round goes
record, run         everything measured as one value; all of it for every batch size
summary             what follows from a record: ratios, one-token decoding
table, plot, page   a record for the terminal, as a picture, as a page
"""
