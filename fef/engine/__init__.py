"""The fast engine: the packed law with coupled acceptance, in passes of fixed shape over many requests. In reading order:

slots, rounds           the state of the requests; what a round verifies and drafts
advance                 what a pass commits, and what the next one drafts
draws                   law and draw at the queries of a pass (plain torch, for CPUs)
runner                  one pass in one go
kernel_passes, kernels  the same passes, made of Triton kernels for CUDA
graphs, measure, held   passes as CUDA graphs; what a round costs; passes held still, to be timed
costs                   which window pays
requests                a request as a sequence of denoising passes
watched                 what rounds do to a canvas, for those who watch
host_copies, build      tensors on their way between host and device; sizes and parts
job                     a request, as the one who asked holds it
engine, text            continuous batching, on token ids and with text
"""
