"""Continuous batching: every method on every denoiser, each request as `fef.decode` would fill it. In reading order:

engine, text            requests on token ids, and with text
job                     a request, as the one who asked holds it
plans                   the plans that requests with the same options share, and certificates
unchanged               whether the network is still the one that the engine was made of
build                   sizes and parts of an engine
session_rounds          rounds of every method: those of `fef.decoding`, which requests of one plan share
packed_rounds, packed_plans    rounds of fixed shape: the packed law with coupled acceptance; which plans they run
requests, seated        of these, a request as a sequence of denoising passes, and where it runs
slots, rounds           the state of the requests; what a round verifies and drafts
draws, advance          law and draw at the queries of a pass; what it commits, and what the next one drafts
runner                  one pass in one go (plain torch, for CPUs)
head_drafts             drafts of a draft head
packed_texts, packed_drafts    texts under grammars, and their drafts on a CPU
choice, costs, shape_chooser   which shape a round has; what rounds cost; both together, as they run
host_copies             numbers on their way between host and device
watched, news           what rounds do to a canvas, for those who watch or stream it; how it gets to them
kernel_passes, kernel_forward, kernel_head, kernels    packed passes made of Triton kernels, for CUDA
kernel_texts            rows under grammars in them
cached_network, cached_passes, arena    passes of sessions made of the same kernels, and the keys that they keep
graphs, measure, held   passes as CUDA graphs; what a round costs; passes held still, to be timed
warm_up                 what the first requests would wait for
"""
