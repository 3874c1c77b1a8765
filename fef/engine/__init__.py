"""The fast engine: the packed law with coupled acceptance, in passes of fixed shape over many requests. In reading order:

slots, rounds       the state of the requests; the tokens of a pass
advance             what a pass commits, and what the next one drafts
draws, forward      law and draw; the network over the caches
weights, cache      joined matrices; keys and values
runner, graphs      one pass in one go; passes as CUDA graphs
costs               which window pays
requests            a request as a course of denoising passes
mailbox, build      tensors on their way to the host; sizes and parts
engine              continuous batching
"""
