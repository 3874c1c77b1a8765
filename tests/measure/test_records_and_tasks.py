"""Records, lists of tasks, and the options of small programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch

from fef.errors import InputError, OptionError
from fef.measure.program import option, options_of, program
from fef.measure.record import Failure, Record, RecordKind, check_kept, read_record, record_json, resumed
from fef.measure.run import Task, carry_out, check_asked
from fef.measure.table import Sheet, markdown, terminal


@dataclass(frozen=True)
class Seen:
    name: str
    value: float


KIND = RecordKind("toy", "toy --json", {"seen": Seen}, {"rate": float})


def tasks_of(names: str, ran: list[str]) -> list[Task]:
    """A task a letter; x fails, m finds no memory."""

    def measure(name: str) -> list[Seen]:
        ran.append(name)
        if name == "x":
            raise OptionError("It cannot be run.")
        if name == "m":
            raise torch.OutOfMemoryError("no room")
        return [Seen(name, 1.0), Seen(name, 2.0)]

    return [Task((name, "part"), lambda name=name: measure(name)) for name in names]  # type: ignore[misc]


def new() -> Record:
    return Record(KIND, "toy", {"seed": 0, "inner": {"a": (1, 2)}}, {"rate": 0.5})


def test_a_record_is_read_as_it_was_written_with_a_line_a_row(tmp_path: Path) -> None:
    record = carry_out(new(), tasks_of("axb", []))
    path = tmp_path / "r.json"
    path.write_text(record_json(record))
    assert '  {"name": "a", "value": 1.0},\n' in path.read_text()
    found = read_record(path, KIND)
    assert (found.of(Seen), found.done, found.failures) == (record.of(Seen), record.done, record.failures)
    assert found.finished and found.facts == {"rate": 0.5}


@pytest.mark.parametrize("stop", range(1, 5))
def test_a_stopped_run_goes_on_to_the_same_record(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keep = tmp_path / "r.json", Record.keep

    def keep_and_stop(record: Record) -> None:
        keep(record)
        if len(record.done) + len(record.failures) == stop:
            raise KeyboardInterrupt

    whole = carry_out(new(), tasks_of("axmb", []))
    assert [failure.reason for failure in whole.failures] == ["It cannot be run.", "Out of memory."]
    monkeypatch.setattr(Record, "keep", keep_and_stop)
    with pytest.raises(KeyboardInterrupt):
        carry_out(replace(new(), path=path), tasks_of("axmb", []))
    monkeypatch.setattr(Record, "keep", keep)
    known, ran = read_record(path, KIND), list[str]()
    assert known.finished == (stop == 4)
    again = carry_out(known, tasks_of("axmb", ran))
    assert ran == list("axmb")[stop:]
    assert (again.of(Seen), again.failures, again.finished) == (whole.of(Seen), whole.failures, True)


def test_a_task_that_fails_half_way_leaves_no_row_and_is_tried_again_where_its_failure_is_dropped() -> None:
    def half() -> object:
        yield Seen("h", 1.0)
        raise OptionError("Broken.")

    record = carry_out(new(), [Task(("h",), half)])  # type: ignore[arg-type]
    assert record.of(Seen) == [] and record.failures == [Failure(("h",), "Broken.")]
    record.failures = []
    assert carry_out(record, [Task(("h",), lambda: [Seen("h", 3.0)])]).of(Seen) == [Seen("h", 3.0)]


def test_what_nobody_foresaw_is_no_failure_of_the_record() -> None:
    with pytest.raises(ZeroDivisionError):
        carry_out(new(), [Task(("z",), lambda: [Seen("z", 1 / 0)])])


def test_results_of_another_setup_or_of_more_tasks_are_not_gone_on_with(tmp_path: Path) -> None:
    record = carry_out(replace(new(), path=tmp_path / "r.json"), tasks_of("ab", []))
    assert resumed(record).of(Seen) == record.of(Seen)
    assert record.finished and not resumed(record).finished, "until what is asked for is found to be there"
    with pytest.raises(InputError, match=r"r\.json have a \[1, 2\], now \[1\]; seed 0, now 1"):
        resumed(replace(record, setup={"seed": 1, "inner": {"a": [1]}}))
    with pytest.raises(InputError, match="have seed 0, now None"):
        resumed(replace(record, setup={"inner": {"a": [1, 2]}}))
    many = {"seed": 1, "inner": dict.fromkeys("abcd", "x" * 50)}
    with pytest.raises(InputError, match=r"now 'x{26}\.\.\.; b None, now \S+; c None, now \S+; and 2 others\. Go on"):
        resumed(replace(record, setup=many))
    check_asked(record, tasks_of("cba", []))
    with pytest.raises(InputError, match="part on b, which this run does not ask for"):
        check_asked(record, tasks_of("a", []))


OTHERS = {
    "another program of the same kind": (
        {"command": "toys --seed 3"},
        "holds what another program wrote, `toys --seed 3`;",
    ),
    "another kind": ({"kind": "methods"}, "holds what another program wrote, `toy`;"),
    "no command": ({"command": 7}, "holds no result of `toy --json`: command must be text"),
    "no kind": ({"kind": None}, "holds no result of `toy --json`: kind must be text"),
}


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(("changes", "words"), OTHERS.values(), ids=OTHERS.keys())
def test_what_another_program_wrote_is_neither_gone_on_with_nor_written_over(
    tmp_path: Path, changes: dict[str, object], words: str, resume: bool
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text := json.dumps(json.loads(record_json(new())) | changes))
    with pytest.raises(InputError, match=rf"r\.json {words}.*[Gg]ive another file\.$"):
        resumed(replace(new(), path=path, setup={"seed": 7}), resume)
    assert path.read_text() == text


def test_a_file_of_anything_else_is_not_written_over_and_an_empty_one_or_an_old_record_is(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    record = replace(new(), path=path)
    for text in ("My notes.", "[1]", "{}", '"' + "\u00e4" * 9):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"r\.json holds no result of `toy --json`: .*\. Give another file\."):
            resumed(record, resume=False)
    path.write_text(record_json(new()).replace('"format": 2', '"format": 1'))
    assert resumed(record, resume=False) is record
    path.write_text("")
    assert resumed(record, resume=False) is record and resumed(record) is record
    check_kept(None, KIND, "toy")
    with pytest.raises(InputError, match="Make the directory"):
        check_kept(tmp_path / "none" / "r.json", KIND, "toy")
    with pytest.raises(InputError, match="is to be read"):
        check_kept(path, KIND, "toy", path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9}', '{"format": 2, "kind": "other"}', '{"format": 1}'])
def test_other_files_are_no_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"toy --json|Run it again"):
        read_record(path, KIND)
    with pytest.raises(InputError, match="Cannot read"):
        read_record(tmp_path / "none.json", KIND)


@pytest.mark.parametrize("kind", [["toy"], {"toy": 1}, 3, None])
def test_a_kind_that_is_no_name_is_no_record(tmp_path: Path, kind: object) -> None:
    path = tmp_path / "r.json"
    path.write_text(record_json(new()).replace('"toy"', json.dumps(kind), 1))
    with pytest.raises(InputError, match="holds no result of `toy --json` or `other`"):
        read_record(path, KIND, RecordKind("other", "other"))


def test_a_table_has_the_same_cells_everywhere() -> None:
    sheet = Sheet(("name", "b|c"), [["x", "1|2"], ["y", "[red]"]], named=True, words=("name",))
    assert markdown(sheet).splitlines()[2:] == ["| `x` | 1\\|2 |", "| `y` | [red] |"]
    table = terminal(sheet)
    assert [list(column.cells) for column in table.columns] == [["x", "y"], ["1|2", "\\[red]"]]
    assert [column.justify for column in table.columns] == ["left", "right"]


@dataclass(frozen=True)
class Options:
    out: Path = option(help="a place")
    steps: int = 3
    window: int | None = None
    sharp: bool = True
    plain: bool = option(False, action="store_true")
    sizes: Sequence[int] = option((1, 8), nargs="+")
    heats: Sequence[float] = (0.0, 1.0)


def test_options_are_the_fields_of_a_dataclass() -> None:
    given = options_of(Options, None, ["--out", "x", "--window", "4", "--no-sharp", "--plain", "--sizes", "2", "3"])
    assert asdict(given) == asdict(Options(Path("x"), 3, 4, sharp=False, plain=True, sizes=[2, 3]))
    assert options_of(Options, None, ["--out", "x"]) == Options(Path("x"))
    for wrong in ([], ["--out", "x", "--steps", "many"]):
        with pytest.raises(SystemExit):
            options_of(Options, None, wrong)


def test_a_sequence_is_a_word_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(Options, None, ["--out", "x", "--heats", "0.5,2"]).heats == [0.5, 2.0]
    for wrong in ("0.5,hot", "", "1,"):
        with pytest.raises(SystemExit):
            options_of(Options, None, ["--out", "x", "--heats", wrong])
        assert f"--heats: invalid list of float value: {wrong!r}" in capsys.readouterr().err


def test_a_program_ends_with_what_it_returns_and_an_error_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    @program(Options, "Does it.")
    def main(given: Options) -> int:
        if given.plain:
            raise OptionError("It is so.")
        return given.steps

    main(["--out", "x", "--steps", "0"])
    for more, code in (["--steps", "1"], 1), (["--plain"], 2):
        with pytest.raises(SystemExit) as stopped:
            main(["--out", "x", *more])
        assert stopped.value.code == code
    assert capsys.readouterr().err == "fef: error: It is so.\n"
