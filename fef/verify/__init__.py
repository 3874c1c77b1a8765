"""The exactness suite: laws by plain recursion, the real loop integrated, and what each certificate is held to.

In reading order:

texts               laws of texts as plain dicts, and steps that carry them on
reference           laws of decoders from their papers, without `fef.decoding`: of tables; `network_laws`, of networks
tables              small denoisers whose every conditional is known
decode              the real loop with its random decisions given, and its law integrated
statistics          is a sample of a law, and how far is it?
setting             what is verified, on what, and what was measured
bounds, checks      the error of committed sets; what each kind of certificate is held to
suite               the settings of every method
twins               decoders broken on purpose, which have to be caught
engine, checkpoint  the suite on the engine, and on a checkpoint's own network
"""
