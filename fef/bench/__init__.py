"""Held-out accuracy and cost of decoding methods, and small programs that measure one thing each.

In reading order:

spec                a method with its options as one word
evaluate            one method on the problems of one family
acceptance          how often drafts held, and the speed-up that follows
run                 every method on every family, as tasks of one record
summary, page       what follows from a record; its tables, picture and page
grammar             what grammars cost
beside_causal       texts of methods beside those of a causal model of the same tokens
start               what a small machine waits for
serve               the server beside the engine
                    (streams: its clients; letters: the engine without them; paced: rounds of a given time)
training            a step of training
engine              the fast engine: a package of its own
"""
