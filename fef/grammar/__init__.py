"""Grammars of texts: which tokens may follow which. Knows nothing of networks, laws and rounds.

In reading order: `given` (what a user gives), `vocabulary` (bytes of tokens), `pieces`, `regex` and `schema` (regular
languages over bytes), `automaton` (over tokens, with the end in reach), `text` (one text under a grammar), `prefixes` (any
other grammar, by llguidance), `compiled` (all of it for a vocabulary).
"""
