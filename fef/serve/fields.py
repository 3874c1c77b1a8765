"""What a request asks for, read from its body: fields that are implemented, fields that are accepted at their neutral value
only, and all others, which are dropped, since clients and routers add their own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fef.decoders import METHODS
from fef.grammar.given import Grammar
from fef.readers import LARGEST, shown
from fef.serve.errors import bad_request
from fef.serve.prompts import Prompt, read_conversation, read_messages, read_prompts
from fef.serve.structure import read_structure
from fef.serve.tools import Tools, read_tools
from fef.serve.values import MOST_STEPS, boolean, id_list, real, text, whole
from fef.template import Part, Span, read_template

__all__ = ["Asked", "Limits", "ScoreAsked", "read_chat", "read_completion", "read_score"]


# What is accepted besides null, since it asks for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "use_beam_search": (False,),
    "prompt_logprobs": (),
    "functions": ([],),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
}

LARGEST_BIAS = 100  # as OpenAI has it
LARGEST_OPTION = 2**31  # of a number among a method's options; larger ones make logits overflow


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    body_bytes: int = 4 * 2**20
    body_seconds: float = 60.0  # in which a body has come
    bodies_bytes: int = 2**27  # of all bodies that are on their way
    choices: int = 128  # of one request, over all its prompts
    stops: int = 32
    stop_length: int = 1024  # characters
    messages: int = 1024
    top: int = 20  # tokens that are told beside each one
    biases: int = 300  # ids of one request


@dataclass(frozen=True)
class Asked:
    """A request for completions. canvas: slots that are drawn; most: tokens that are shown of them."""

    prompts: list[Prompt]
    canvas: int
    most: int
    n: int
    best_of: int  # that are drawn for each prompt, of which the n of largest log p are told
    seed: int  # of the first choice; the next has one more
    sampling: dict[str, Any]  # temperature, top_p, top_k, logit_bias, min_tokens, ignore_eos
    method: dict[str, Any]  # its name and options
    stops: list[str]
    stop_ids: list[int]
    keep_stop: bool
    suffix: str
    echo: bool
    score_from: int  # tokens of a prompt that are given, where its log p is told, too
    stream: bool
    usage: bool  # a last chunk with the usage
    usage_always: bool  # and on every chunk
    top: int | None  # likeliest tokens that are told beside each one; None: and no log p at all
    token_ids: bool
    watch: bool  # the rounds of the canvas, too
    grammar: Grammar | None  # of the texts
    tools: Tools | None  # that the answers call
    template: list[Part] | None  # what stands around and between the slots that are filled
    chat: bool = field(default=False)

    @property
    def has_grammar(self) -> bool:
        spans = [part for part in self.template or () if isinstance(part, Span)]
        return self.grammar is not None or any(span.grammar is not None for span in spans)


@dataclass(frozen=True)
class ScoreAsked:
    """A request for the log p of a response."""

    prompt: Prompt
    response: str | list[int]
    suffix: str
    top: int  # likeliest tokens beside each one
    canvas: int
    seed: int
    sampling: dict[str, Any]
    method: dict[str, Any]
    grammar: Grammar | None


def read_completion(body: Mapping[str, Any], limits: Limits, canvas: int) -> Asked:
    """The body of `/v1/completions`. canvas: the server's default. Raises ApiError."""
    most = whole(body, "max_tokens", least=1)
    top = whole(body, "logprobs", least=0, most=limits.top)
    return read_common(body, limits, read_prompts(body, limits.choices), most, canvas, top, chat=False)


def read_chat(body: Mapping[str, Any], limits: Limits, canvas: int) -> Asked:
    """The body of `/v1/chat/completions`. Raises ApiError."""
    most = whole(body, "max_completion_tokens", least=1) or whole(body, "max_tokens", least=1)
    top = whole(body, "top_logprobs", least=0, most=limits.top)
    if top and not boolean(body, "logprobs"):
        raise bad_request("top_logprobs is allowed only with logprobs: true.", "top_logprobs")
    for name in ("echo", "best_of"):
        if body.get(name) not in (None, False, 1):
            raise bad_request(f"{name} is not allowed in a conversation.", name)
    prompts: list[Prompt] = [read_conversation(body, limits.messages)]
    return read_common(
        body, limits, prompts, most, canvas, (top or 0) if boolean(body, "logprobs") else None, chat=True
    )


def read_common(
    body: Mapping[str, Any],
    limits: Limits,
    prompts: list[Prompt],
    most: int | None,
    canvas: int,
    top: int | None,
    chat: bool,
) -> Asked:
    refuse_others(body)
    own = read_own(body)
    template = None if own.get("template") is None else read_own_template(body, own, most)
    if template is None:
        canvas = whole(own, "canvas", least=1, inside="fef.") or most or canvas
    else:
        canvas = most = sum(part.slots for part in template if isinstance(part, Span))
    n = whole(body, "n", least=1) or 1
    best_of = whole(body, "best_of", least=1) or n
    if best_of < n:
        raise bad_request(f"best_of={best_of} must be at least n={n}.", "best_of")
    if best_of * len(prompts) > limits.choices:
        raise bad_request(
            f"{best_of} choices for {len(prompts)} prompts are more than {limits.choices}.",
            "n" if best_of == n else "best_of",
        )
    seed = whole(body, "seed", least=0, most=LARGEST - limits.choices)
    stream, stream_options = boolean(body, "stream"), body.get("stream_options")
    if "stream_options" in body and not stream:
        raise bad_request("stream_options is allowed only with stream: true.", "stream_options")
    if stream_options is not None and not isinstance(stream_options, Mapping):
        raise bad_request("stream_options must be an object.", "stream_options")
    if stream and best_of > n:
        raise bad_request("best_of cannot be streamed: which are the best is known at the end.", "best_of")
    grammar, tools = read_structure(body), read_tools(body, stream) if chat else None
    if grammar is not None and tools is not None:
        raise bad_request("Tools have a grammar of their own; leave the other one out.", "tool_choice")
    stop_ids = id_list(body.get("stop_token_ids") or [], "stop_token_ids")
    sampling = read_sampling(body, limits)
    if stop_ids and sampling["min_tokens"]:
        raise bad_request("min_tokens does not go with stop_token_ids; leave one out.", "min_tokens")
    return Asked(
        prompts=prompts,
        canvas=canvas,
        most=min(most or canvas, canvas),
        n=n,
        best_of=best_of,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        sampling=sampling,
        method=read_method(own),
        stops=read_stops(body, limits),
        stop_ids=stop_ids,
        keep_stop=boolean(body, "include_stop_str_in_output"),
        suffix="" if chat else text(body, "suffix") or "",
        echo=not chat and boolean(body, "echo"),
        score_from=whole(own, "score_from", least=1, inside="fef.") or 1,
        stream=stream,
        usage=boolean(stream_options or {}, "include_usage"),
        usage_always=boolean(stream_options or {}, "continuous_usage_stats"),
        top=top,
        token_ids=boolean(body, "return_token_ids"),
        watch=read_watch(own, stream),
        grammar=grammar if tools is None else tools.grammar,
        tools=tools,
        template=template,
        chat=chat,
    )


def read_own_template(body: Mapping[str, Any], own: Mapping[str, Any], most: int | None) -> list[Part]:
    """Raises ApiError, and OptionError, for what is none, and for what does not go with one."""
    parts = read_template(own["template"])
    slots = sum(part.slots for part in parts if isinstance(part, Span))
    if most is not None and most < slots:
        raise bad_request(f"The template has {slots} slots, and max_tokens is {most}; leave it out.", "max_tokens")
    for name in ("suffix", "stop", "stop_token_ids", "min_tokens", "response_format", "structured_outputs", "tools"):
        if body.get(name):
            raise bad_request(f"{name} does not go with fef.template, whose parts say what stands where.", name)
    for name in ("canvas", "stream"):
        if own.get(name) not in (None, "committed"):
            raise bad_request(f"fef.{name} does not go with fef.template; leave it out.", f"fef.{name}")
    return parts


def read_score(body: Mapping[str, Any], limits: Limits, canvas: int) -> ScoreAsked:
    """The body of `/v1/score`. Raises ApiError."""
    refuse_others(body)
    own, ids = read_own(body), body.get("response_token_ids")
    response = text(body, "response") if ids is None else id_list(ids, "response_token_ids")
    if body.get("messages") is not None:
        prompt: Prompt = read_messages(body, limits.messages)
    else:
        prompt, *others = read_prompts(body, limits.choices)
        if others:
            raise bad_request("prompt must be one text or its token ids.", "prompt")
    if own.get("template") is not None:
        raise bad_request("fef.template is for answers; a score is of one response.", "fef.template")
    if response is None:
        raise bad_request("Give a prompt, or messages, and a response or response_token_ids.", "response")
    asked_canvas = whole(own, "canvas", least=1, inside="fef.") or whole(body, "max_tokens", least=1)
    return ScoreAsked(
        prompt=prompt,
        response=response,
        suffix=text(body, "suffix") or "",
        top=whole(body, "top_logprobs", least=0, most=limits.top) or 0,
        canvas=asked_canvas or canvas,
        seed=whole(body, "seed", least=0) or 0,
        sampling=read_sampling(body, limits),
        method=read_method(own),
        grammar=read_structure(body),
    )


def read_sampling(body: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    return {
        "temperature": real(body, "temperature", 1.0, 0.0, 100.0),
        "top_p": real(body, "top_p", 1.0, 0.0, 1.0),
        "top_k": max(whole(body, "top_k", least=-1) or 0, 0),
        "logit_bias": read_biases(body, limits),
        "min_tokens": whole(body, "min_tokens", least=0) or 0,
        "ignore_eos": boolean(body, "ignore_eos"),
    }


def read_biases(body: Mapping[str, Any], limits: Limits) -> dict[int, float] | None:
    """By token id what is added to its logit; keys are text, as JSON has them."""
    given = body.get("logit_bias")
    if given is None:
        return None
    if not isinstance(given, Mapping) or len(given) > limits.biases:
        raise bad_request(f"logit_bias must be an object of at most {limits.biases} token ids.", "logit_bias")
    found = {}
    for token, bias in given.items():
        if not (token.isascii() and token.isdigit() and len(token) < 19):
            raise bad_request(f"logit_bias has the key {shown(token)}, which is no token id.", "logit_bias")
        if not isinstance(bias, int | float) or isinstance(bias, bool) or abs(bias) > LARGEST_BIAS:
            raise bad_request(f"logit_bias must be numbers from -{LARGEST_BIAS} to {LARGEST_BIAS}.", "logit_bias")
        found[int(token)] = bias
    return found


def read_stops(body: Mapping[str, Any], limits: Limits) -> list[str]:
    stop = body.get("stop")
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise bad_request("stop must be text or a list of texts.", "stop")
    if len(stops) > limits.stops or max(map(len, stops), default=0) > limits.stop_length:
        raise bad_request(
            f"stop takes at most {limits.stops} texts of at most {limits.stop_length} characters.", "stop"
        )
    return [each for each in stops if each]


def read_method(own: Mapping[str, Any]) -> dict[str, Any]:
    """Its name and options."""
    return {"method": text(own, "method", inside="fef.") or "fef", **read_method_options(own)}


def refuse_others(body: Mapping[str, Any]) -> None:
    """Raise ApiError for what is not implemented and would change the answer."""
    for name, allowed in NEUTRAL.items():
        value = body.get(name)
        if value is not None and not any(type_safe_equal(value, each) for each in allowed):
            words = " or ".join([*(json.dumps(each) for each in allowed), "null"])
            raise bad_request(f"{name}={shown(value)} is not implemented; it is allowed at {words} only.", name)


def type_safe_equal(value: Any, allowed: Any) -> bool:
    """Equality in which true is not 1."""
    return isinstance(value, bool) == isinstance(allowed, bool) and bool(value == allowed)


def read_own(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object `fef`. Raises ApiError."""
    own = body.get("fef")
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise bad_request("fef must be an object.", "fef")
    for name in own:
        if name not in _OWN:
            raise bad_request(f"fef has no field {shown(name)}; allowed: {', '.join(_OWN)}.", "fef")
    return own


def read_watch(own: Mapping[str, Any], stream: bool) -> bool:
    """Are the rounds of the canvas asked for?"""
    kind = text(own, "stream", inside="fef.") or "committed"
    if kind not in ("committed", "canvas"):
        raise bad_request(f'fef.stream={shown(kind)} must be "committed" or "canvas".', "fef.stream")
    if kind == "canvas" and not stream:
        raise bad_request('fef.stream: "canvas" is allowed only with stream: true.', "fef.stream")
    return kind == "canvas"


def read_method_options(own: Mapping[str, Any]) -> Mapping[str, Any]:
    options = own.get("options")
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise bad_request("fef.options must be an object.", "fef.options")
    for name, value in options.items():
        if name in _TAKEN:
            raise bad_request(f"fef.options has no {name}; give it beside fef.", "fef.options")
        if name in OPENING:
            raise bad_request(f"fef.options.{name} is not a client's to choose; leave it out.", "fef.options")
        if not isinstance(value, str | int | float | None):
            raise bad_request(f"fef.options.{name[:60]} must be text, a number or a boolean.", "fef.options")
        if isinstance(value, int | float) and abs(value) > LARGEST_OPTION:
            raise bad_request(f"fef.options.{name[:60]} must be within {LARGEST_OPTION}.", "fef.options")
    whole(options, "steps", least=1, most=MOST_STEPS, inside="fef.options.")
    return options


_OWN = ("method", "options", "canvas", "stream", "score_from", "template")
_TAKEN = (
    *("grammar", "method", "ids", "open", "seed", "stream", "watch", "top", "banned"),
    *("temperature", "top_p", "top_k", "logit_bias", "min_tokens", "ignore_eos"),
)
OPENING = {
    option.name
    for method in METHODS.values()
    for option in fields(method.options)  # type: ignore[arg-type]  # the makers of options are dataclasses
    if option.metadata.get("opens")
}
"""Options that name a file or a model of the server, which no client may have opened."""
