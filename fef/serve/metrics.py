"""What Prometheus reads, under vLLM's names behind a prefix of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fef.serve.backend import Backend
from fef.serve.letters import Times

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """The metrics of one server. prefix: "fef", or "vllm" for boards that read those names."""

    def __init__(self, prefix: str, model: str) -> None:
        self.registry = CollectorRegistry()
        self.prefix, self.labels = prefix, {"model_name": model}

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"{prefix}:{name}", words, ["model_name", *labels], registry=self.registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
            made = Histogram(f"{prefix}:{name}", words, ["model_name"], buckets=buckets, registry=self.registry)
            return made.labels(**self.labels)

        self.prompt_tokens = counter("prompt_tokens", "Tokens of prompts.").labels(**self.labels)
        self.generation_tokens = counter("generation_tokens", "Tokens drawn for texts.").labels(**self.labels)
        self.success = counter("request_success", "Choices that ended.", "finished_reason")
        self.first = histogram("time_to_first_token_seconds", "From the request to the first text.", _SECONDS)
        self.between = histogram("inter_token_latency_seconds", "Between pieces of text.", _SECONDS)
        self.whole = histogram("e2e_request_latency_seconds", "From the request to the end of a choice.", _SECONDS)
        self.iteration = histogram("iteration_tokens_total", "Tokens that a round told a choice.", _TOKENS)
        self.queue = histogram("request_queue_time_seconds", "Of a choice that waited for a seat.", _SECONDS)
        self.prefill = histogram("request_prefill_time_seconds", "From the seat to the first token.", _SECONDS)
        self.decode = histogram("request_decode_time_seconds", "From the first token to the end.", _SECONDS)
        self.inference = histogram("request_inference_time_seconds", "From the seat to the end.", _SECONDS)
        self.preemptions = histogram("request_num_preemptions", "None: who has a seat keeps it.", _TOKENS)
        self.request_prompt = histogram("request_prompt_tokens", "Tokens of a prompt.", _TOKENS)
        self.request_generation = histogram("request_generation_tokens", "Tokens drawn for a choice.", _TOKENS)
        self.request_n = histogram("request_params_n", "Choices asked for.", _TOKENS)
        self.request_most = histogram("request_params_max_tokens", "Tokens asked for.", _TOKENS)

    def watch(self, backend: Backend) -> None:
        """Also tell what the engine has to do now."""
        self.registry.register(
            Gauges(
                self.prefix,
                self.labels,
                {
                    "num_requests_running": lambda: backend.running,
                    "num_requests_waiting": lambda: backend.waiting,
                    "kv_cache_usage_perc": lambda: min(1.0, backend.running / backend.host.card.seats),
                    "cache_config_info": lambda: 1.0,
                },
            )
        )

    def asked(self, n: int, most: int) -> None:
        self.request_n.observe(n)
        self.request_most.observe(most)

    def piece(self, first: float | None, between: float | None, tokens: int) -> None:
        """Seconds to the first piece of a text, or since the one before; tokens that are new."""
        self.iteration.observe(tokens)
        if first is not None:
            self.first.observe(first)
        if between is not None:
            self.between.observe(between)

    def finished(self, reason: str, prompt_tokens: int, tokens: int, seconds: float) -> None:
        """A choice has ended."""
        self.success.labels(**self.labels, finished_reason=reason).inc()
        self.prompt_tokens.inc(prompt_tokens)
        self.generation_tokens.inc(tokens)
        self.request_prompt.observe(prompt_tokens)
        self.request_generation.observe(tokens)
        self.whole.observe(seconds)

    def times(self, times: Times, now: float) -> None:
        """Where the time of a request went that has ended now; by their clock."""
        first = now if times.first_token is None else max(times.seated, times.first_token)
        self.queue.observe(times.seated - times.began)
        self.prefill.observe(first - times.seated)
        self.decode.observe(now - first)
        self.inference.observe(now - times.seated)
        self.preemptions.observe(0)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Gauges(Collector):
    """Numbers that are read when somebody asks."""

    def __init__(self, prefix: str, labels: dict[str, str], read: dict[str, Callable[[], float]]) -> None:
        self.prefix, self.labels, self.read = prefix, labels, read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self.read.items():
            family = GaugeMetricFamily(f"{self.prefix}:{name}", name.replace("_", " "), labels=list(self.labels))
            family.add_metric(list(self.labels.values()), value())
            yield family
