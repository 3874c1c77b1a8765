"""`fef serve`: an OpenAI-compatible HTTP server on the engine; the extra `serve`. In reading order:

errors            errors in OpenAI's shape
values            single values of a body: right in type and range, or refused by name
prompts           what a request is about: text, token ids or messages
fields            what a request asks for: implemented, accepted at the neutral value only, dropped
structure, tools  the grammar of the answers: of a format that is asked for, or of the tools that they call
growing_text      what more and more tokens decode to, each a few times
pieces            committed tokens to text that is never taken back, and stop strings
template_pieces   given texts and the pieces of the spans between them
letters           what the routes and the engine tell each other
worker            the engine at work between its commands: one letter per round
hosts             where it works: on a thread of this process,
process           or in a process of its own,
engine_process    which runs this,
frames, packing   over a socket: whole messages, and commands as bytes
inbox             what the event loop holds of a request
backend           the engine as the routes know it
answer            the choices of a request, as their tokens come
rounds            what rounds did to a canvas, for pages that draw it
bodies            answers in OpenAI's shapes, whole and streamed
event_stream      those events as they are sent
metrics           what Prometheus reads
guards            limits, keys and ids of requests, before any route
presence          whether a client is still there
playground        the page at `/`, whose files are in `static`
app               the routes
run               the process: ready line, signals, exit
replicas          several processes behind a router
batch             requests from a file, by the same routes
"""
