"""`fef bench --engine`: what passes of the fast engine cost, and what it serves against the decoders of the reference loop.

In reading order:

rows                what all of them find: passes, and requests that were answered
bandwidth           bytes that a pass must read, and how fast the device copies
shapes              networks of random weights: sizes without a checkpoint
passes, plain       passes of the engine; plain passes of whole canvases, the unit of one-token decoders
serving             prompts answered by the engine, and by the loop, as it runs and idealised
run                 all of it for every batch size, as tasks of one record
drafts, causal      draft heads and trees against one token per pass from left to right
page                the tables and the page of records of any of these
"""
