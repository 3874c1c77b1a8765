"""The decoding loop. In reading order:

records, canvas, requests    rows of a batch, one per request
inputs                  what was asked, read and checked
passes, session, memory the rows being decoded, each at its own pace
loop                    rounds until every row is complete
speculate, draft, carried    a round that drafts a window and verifies it; drafts that it leaves
plain, unmask, transfer a round that draws every slot and commits what a rule chooses
revoke, takeback        rules that take tokens back, and how
replay                  rules replayed several rounds ahead
score, rows, packed, stale    who runs the network, under which law, with which cache
judge, causal           targets of another model than the one that drafts
order, remask           which slot when; what lies between denoising passes
plan, requirements      which parts go where, and what they ask of a network
grammar                 what grammars allow in each row
certificate             which law the parts sample
payoff                  whether the rounds of a plan pay on this device
likelihood, profile, influence    measurements with the same parts
network, meter, options the checked denoiser, the counters, the checked options

The methods that are made of these parts are in `fef.decoders`, which nothing here imports.
"""
