"""`fef bench --engine`: what passes of the fast engine cost, and what it serves against the decoders of the reference loop.

In reading order:

bandwidth           bytes that a pass must read, and how fast the device copies
shapes              networks of random weights: sizes without a checkpoint
passes, plain       passes of the engine; plain passes of whole canvases, the unit of one-token decoders
runs                all prompts at once in an engine, and what its rounds did meanwhile
serving             problems answered by the engine, and by the loop, as it runs and idealised
run                 all of it for every batch size, as tasks of one record
summary, page       what follows from a record; its tables, picture and page
drafts, causal      draft heads and trees against one token per pass from left to right
drafts_page         what that finds, and its page; `single_rounds` of random weights
released_page       the page of passes and requests at the sizes of released networks
"""
