from dataclasses import replace

import pytest

from fef.bench.evaluate import Result, Settings
from fef.bench.run import METHODS_KIND, Benchmark, run
from fef.bench.spec import parse_specs
from fef.decoders import METHODS
from fef.errors import DenoiserError, InputError, OptionError
from fef.measure.record import Record, read_record, record_json

SETTINGS = Settings(batch_size=3, max_new_tokens=8)


class Silent:
    def __init__(self):
        self.done = 0

    def label(self, label):
        pass

    def advance(self, count):
        self.done += count


def bench_of(model, methods="sequential fef:window=2 random", **given):
    given = {"families": ["joint", "word-problems"], "count": 3, "settings": SETTINGS, "command": "c"} | given
    return Benchmark(model, specs=parse_specs([methods], METHODS), **given)


@pytest.fixture(scope="module")
def whole(tiny_model):
    return run(bench_of(tiny_model), Silent())


@pytest.fixture
def stored(tmp_path):
    """The file of a record."""

    def write(record):
        path = tmp_path / "record.json"
        path.write_text(record_json(record))
        return path

    return write


def without_seconds(record):
    return [
        replace(found, answers=tuple(replace(answer, seconds=0.0, text="") for answer in found.answers)).to_dict()
        for found in record.of(Result)
    ]


def test_every_method_runs_on_every_family(whole):
    names = ["sequential", "fef:window=2", "random"]
    assert [(r.family, r.spec.label) for r in whole.of(Result)] == [
        (f, m) for f in ("joint", "word-problems") for m in names
    ]
    assert whole.finished and not whole.failures
    assert whole.setup["model"] == "tiny" and len(whole.setup["weights"]) == 16


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_an_interrupted_run_resumes_to_the_same_record(tiny_model, whole, tmp_path, monkeypatch, stop):
    path, keep, kept = tmp_path / "record.json", Record.keep, []

    def keep_and_stop(record):
        keep(record)
        kept.append(record)
        if len(kept) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "keep", keep_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(bench_of(tiny_model), Silent(), path)
    before = read_record(path, METHODS_KIND)
    assert len(before.of(Result)) == stop
    assert before.finished == (stop == 6)
    bar, later = Silent(), []
    monkeypatch.setattr(Record, "keep", lambda record: later.append(len(record.done)))
    record = run(bench_of(tiny_model), bar, path, resume=True)
    assert without_seconds(record) == without_seconds(whole)
    assert sorted({*later} - {stop}) == list(range(stop + 1, 7))
    assert record.of(Result)[0].answers[0].seconds == before.of(Result)[0].answers[0].seconds
    assert bar.done == 18


def test_more_methods_can_be_added_but_none_left_out(tiny_model, whole, stored):
    more = run(
        bench_of(tiny_model, "random sequential fef:window=2 low-confidence"), Silent(), path=stored(whole), resume=True
    )
    assert [r.spec.label for r in more.of(Result)[:4]] == ["random", "sequential", "fef:window=2", "low-confidence"]
    with pytest.raises(InputError, match="random on joint"):
        run(bench_of(tiny_model, "sequential fef:window=2"), Silent(), path=stored(whole), resume=True)


@pytest.mark.parametrize(
    ("given", "name"),
    [({"count": 4}, "problems"), ({"settings": replace(SETTINGS, seed=1)}, "seed")],
)
def test_results_of_another_setup_are_refused(tiny_model, whole, stored, given, name):
    with pytest.raises(InputError, match=f"have {name} "):
        run(bench_of(tiny_model, **given), Silent(), path=stored(whole), resume=True)


def test_other_weights_are_refused(tiny_model, whole, stored):
    changed = replace(whole, setup={**whole.setup, "weights": "0"})
    with pytest.raises(InputError, match="have weights '0'"):
        run(bench_of(tiny_model), Silent(), path=stored(changed), resume=True)


def test_a_method_that_the_model_cannot_run_is_listed_and_the_others_go_on(tiny_model):
    bar = Silent()
    record = run(bench_of(tiny_model, "fef a=sequential:order=blocks", families=["joint"]), bar)
    assert [r.spec.label for r in record.of(Result)] == ["fef"]
    assert [failure.task for failure in record.failures] == [("joint", "a")]
    assert "block_length" in record.failures[0].reason
    assert record.finished and bar.done == 6


def test_a_method_that_fails_while_it_runs_is_listed_too(tiny_model, monkeypatch):
    generate = type(tiny_model).generate

    def failing(self, prompts, *, method, **options):
        if method == "random":
            raise DenoiserError("nan.")
        return generate(self, prompts, method=method, **options)

    monkeypatch.setattr(type(tiny_model), "generate", failing)
    record = run(bench_of(tiny_model, "random fef", families=["joint"]), Silent())
    assert [r.spec.label for r in record.of(Result)] == ["fef"]
    assert record.failures[0].reason == "nan."
    with pytest.raises(OptionError, match="No method could be run: nan"):
        run(bench_of(tiny_model, "random", families=["joint"]), Silent())


@pytest.mark.parametrize(
    ("methods", "words"),
    [("fef feff", "Did you mean 'fef'"), ("fef fef:windw=3", "Did you mean 'window'"), ("fef:window=0", "at least 1")],
)
def test_wrong_names_and_no_method_left_are_refused_at_once(tiny_model, monkeypatch, methods, words):
    monkeypatch.setattr(type(tiny_model), "generate", None)
    with pytest.raises(OptionError, match=words):
        run(bench_of(tiny_model, methods), Silent())
