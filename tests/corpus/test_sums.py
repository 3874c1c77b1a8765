"""Solutions as chains of sums: the steps are those of the marks, each sum holds, and each number comes from somewhere."""

import pytest

from fef.corpus.check import wrong_equations
from fef.corpus.masked import template_key, template_text
from fef.corpus.percentages import by_hundredths
from fef.corpus.sums import as_sums, by_digits, is_explained
from fef.corpus.unmarked import with_all_marks
from fef.eval.tasks import Message, message


@pytest.mark.parametrize(
    ("solution", "sums"),
    [
        ("16-3-4 = <<16-3-4=9>>9 eggs.\nSo $<<9*2=18>>18.\n#### 18", "16 - 3 = 13\n13 - 4 = 9\n9 * 2 = 18\n#### 18"),
        ("It is <<2/3*90=60>>60.\n#### 60", "90 / 3 = 30\n30 * 2 = 60\n#### 60"),
        ("It is <<3/5*(4+6)=6>>6.\n#### 6", "4 + 6 = 10\n10 / 5 = 2\n2 * 3 = 6\n#### 6"),
        ("It is <<1/2*9=4.5>>4.5.\n#### 4.5", "9 / 2 = 4.5\n#### 4.5"),
        ("It is <<25/100*80=20>>20.\n#### 20", "80 * 25 = 2000\n2000 / 100 = 20\n#### 20"),
        ("It is <<8/16*100=50>>50%.\n#### 50", "8 / 16 = 0.5\n0.5 * 100 = 50\n#### 50"),
        ("It is <<3/4+1=1.75>>1.75.\n#### 1.75", "3 / 4 = 0.75\n0.75 + 1 = 1.75\n#### 1.75"),
        ("<<2*3=6>>6, <<6+1=7>>7, so <<2*3=6>>6\n#### 6", "2 * 3 = 6\n6 + 1 = 7\n2 * 3 = 6\n#### 6"),
        ("It is <<90*2/3=60>>60.\n#### 60", "90 * 2 = 180\n180 / 3 = 60\n#### 60"),
        ("<<10/(1/3)=30>>30\n#### 30", "10 * 3 = 30\n#### 30"),
        (
            "<<20*.25=5>>5 and <<5*1=5>>5\n<<5+1,200=1205>>1,205\n#### 1,205",
            "20 * 0.25 = 5\n5 + 1200 = 1205\n#### 1205",
        ),
        ("<<(2+3)*4=20>>20, again <<2+3=5>>5, <<20-5=15>>15\n#### 15", "2 + 3 = 5\n5 * 4 = 20\n20 - 5 = 15\n#### 15"),
        ("So 2 + 3 = 5 pens. 5 * 4 = 20.\n#### 20", "2 + 3 = 5\n5 * 4 = 20\n#### 20"),
    ],
)
def test_a_solution_becomes_one_operation_a_line(solution: str, sums: str) -> None:
    assert as_sums(solution) == sums
    assert not wrong_equations(sums)


@pytest.mark.parametrize(
    ("line", "worked"),
    [
        ("23 * 14 = 322", "23 * 10 = 230\n23 * 4 = 92\n230 + 92 = 322"),
        ("12 * 2.5 = 30", "12 * 2 = 24\n12 * 0.5 = 6\n24 + 6 = 30"),
        ("21 * 305 = 6405", "305 * 20 = 6100\n6100 + 305 = 6405"),
        ("120 * 30 = 3600", "120 * 30 = 3600"),
        ("7 * 48 = 336", "7 * 48 = 336"),
        ("23 + 14 = 37", "23 + 14 = 37"),
    ],
)
def test_long_products_are_worked_out_by_the_digits_of_the_shorter_number(line: str, worked: str) -> None:
    assert by_digits(f"{line}\n#### 5") == f"{worked}\n#### 5"
    assert not wrong_equations(worked)


@pytest.mark.parametrize(
    ("question", "sums", "told"),
    [
        ("25% of 80", "80 * 0.25 = 20", "80 * 25 = 2000\n2000 / 100 = 20"),
        ("25 percent of 80", "25 / 100 = 0.25\n0.25 * 80 = 20", "80 * 25 = 2000\n2000 / 100 = 20"),
        ("25% of 80", "25 * 0.01 = 0.25\n80 * 0.25 = 20", "80 * 25 = 2000\n2000 / 100 = 20"),
        ("12.5% of 80", "80 * 12.5 = 1000\n1000 * 0.01 = 10", "80 * 12.5 = 1000\n1000 / 100 = 10"),
        (
            "25% of 80",
            "25 / 100 = 0.25\n1 - 0.25 = 0.75\n0.75 * 80 = 60",
            "25 / 100 = 0.25\n1 - 0.25 = 0.75\n0.75 * 80 = 60",
        ),
        ("a share of 25%", "25 / 100 = 0.25", "25 / 100 = 0.25"),
        ("4 pens of $0.25, 25% off", "4 * 0.25 = 1", "4 * 0.25 = 1"),
        ("80 pens of $0.2", "80 * 0.2 = 16", "80 * 0.2 = 16"),
    ],
)
def test_a_percentage_is_taken_in_one_way(question: str, sums: str, told: str) -> None:
    assert by_hundredths(question, f"{sums}\n#### 5") == f"{told}\n#### 5"
    assert not wrong_equations(told)


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("He has 40 roses/bag * 12 bags = 480 roses.", "He has 40 roses/bag * 12 bags = <<40*12=480>>480 roses."),
        ("$1,440/week * 4 weeks/month = $5,760 a month", "$1,440/week * 4 weeks/month = $<<1440*4=5760>>5,760 a month"),
        ("Black: 35(.20)=7 pigeons", "Black: 35(.20)=<<35*(.20)=7>>7 pigeons"),
        ("Greg: 9+2(8)=25", "Greg: 9+2(8)=<<9+2*(8)=25>>25"),
        ("18+20 = <<38=38>>38 hours", "18+20 = <<18+20=38>>38 hours"),
        ("because 4 x 1/2 cup = 2 cups", "because 4 x 1/2 cup = <<4*1/2=2>>2 cups"),
        ("So 100% - 72% = 28%.", "So 100% - 72% = <<100-72=28>>28%."),
        ("3P = 220 - 4 = 216 pages", "3P = 220 - 4 = <<220-4=216>>216 pages"),
        ("$50 \u2212 $6 = $44 left", "$50 \u2212 $6 = $<<50-6=44>>44 left"),
    ],
)
def test_a_sum_without_a_mark_gets_one(line: str, marked: str) -> None:
    assert with_all_marks(line) == marked
    assert with_all_marks(marked) == marked
    assert not wrong_equations(marked)


@pytest.mark.parametrize(
    "line",
    [
        "4 pens * 2 = 9 pens",
        "2x + 3 = 7",
        "x + 5 + 2 = 7",
        "5 + 2 = 7x",
        "3/10 = 30%",
        "12 x 5 = $<<5*12=60>>60",
        "a 12-ounce can = 12 ounces",
        "4 weeks = 28 days",
        "2 + 3 = 5 + 4",
    ],
)
def test_what_is_marked_already_or_no_sum_that_holds_stays(line: str) -> None:
    assert with_all_marks(line) == line


@pytest.mark.parametrize(
    "solution",
    [
        "<<2+2=5>>5\n#### 5",
        "<<2+2=4>>4\n#### 5",
        "<<x+2=4>>4\n#### 4",
        "<<1/3=.33>>.33\n#### .33",
        "<<1/3+2/3=1>>1\n#### 1",
        "<<3-5=-2>>, <<7+1=8>>8\n#### 8",
        "<<5=5>>5\n#### 5",
        "<<4/0=4>>4\n#### 4",
        "Five.\n#### 5",
    ],
)
def test_a_solution_that_is_no_such_chain_is_refused(solution: str) -> None:
    assert as_sums(solution) is None


@pytest.mark.parametrize(
    ("question", "sums", "explained"),
    [
        ("He has 5 bags of 12 and eats three.", "5 * 12 = 60\n60 - 3 = 57\n#### 57", True),
        ("He has 5 bags of 12 and eats some.", "5 * 12 = 60\n60 - 3 = 57\n#### 57", False),
        ("A coat of $80 is 25% off.", "80 * 0.25 = 20\n80 - 20 = 60\n#### 60", True),
        ("A coat of $80 is 25% off.", "80 * 0.35 = 28\n#### 28", False),
        ("She runs 3 hours at 10 miles a minute.", "3 * 60 = 180\n180 * 10 = 1800\n#### 1800", True),
        ("A bid of $160,000, doubled.", "160000 * 2 = 320000\n#### 320000", True),
        ("She has 4 dozen eggs.", "4 * 12 = 48\n#### 48", True),
        ("She has 4 trays of eggs.", "4 * 12 = 48\n#### 48", False),
    ],
)
def test_each_number_is_given_implied_or_a_result(question: str, sums: str, explained: bool) -> None:
    assert is_explained(question, sums.splitlines()[:-1]) == explained


def asked(text: str) -> list[Message]:
    return [message("user", text), message("assistant", "5 + 3 = 8\n#### 8")]


def test_a_template_is_the_words_without_numbers_names_and_things() -> None:
    one = "Rachel has 5 apples. How many does Rachel have if Todd's box holds three more?"
    other = "Wendy has 1,250 marbles. How many does Wendy have if Liam's box holds 17 more?"
    assert template_text(one) == template_text(other)
    assert template_key(asked(one)) == template_key(asked(f"Question: {other}\nLet's think step by step.\nAnswer:"))
    for different in (one.replace("has 5", "lost 5"), one.replace("more", "fewer"), f"{one} Why?"):
        assert template_key(asked(one)) != template_key(asked(different))
