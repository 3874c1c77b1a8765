"""Tiny training and test files in the formats of the real ones, of problems made up for the tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

CLIPS = {
    "question": "Nora sold 48 clips in April, and then she sold half as many in May. Each clip costs $1.50. "
    "How much money did Nora get for her clips in April and May?",
    "answer": "Nora sold 48/2 = <<48/2=24>>24 clips in May.\nNora sold 48+24 = <<48+24=72>>72 clips in April and May.\n"
    "She got 72 * $1.50 = $<<72*1.5=108>>108.\n#### 108",
}
DISCOUNT = {
    "question": "A coat costs $1,200. Felix gets a discount of 20%, and he pays another $35 for a hat. What does Felix pay?",
    "answer": "The coat costs $1,200 * 0.8 = $<<1200*.8=960>>960 with the discount.\n"
    "So Felix pays $960 + $35 = $<<960+35=995>>995.\n#### 995",
}
ROWS = {
    "question": "A hall has 14 rows of 12 chairs. Amir adds 9 more chairs and shares them among 3 groups. "
    "How many chairs are there for each group?",
    "answer": "There are 14 * 12 = <<14*12=168>>168 chairs in rows.\nWith Amir's, it is 168 + 9 = <<168+9=177>>177.\n"
    "Each group has 177 / 3 = <<177/3=59>>59 chairs.\n#### 59",
}


def short(question: str, equation: str, answer: str) -> dict[str, str]:
    return {"question": question, "equation": equation, "answer": answer}


SHORT = (
    short("Lucia has 9 apples. Felix gives Lucia 8 more. How many apples does Lucia have?", "9 + 8", "17"),
    short(
        "there are 54 people on a bus. 18 of them are men 26 of them are women and the rest are children. how many children "
        "are there on the bus?",
        "( 54 - 18 ) - 26",
        "10",
    ),
    short("Amir planted 6 trees. He has 35 books in each of 4 bags. How many books does Amir have?", "35 * 4", "140"),
    short("Nora bought 23 shells. She gave 7 shells to a friend. How many shells did Nora keep?", "23 - 7", "16"),
)
TEST_QUESTION = (
    "Toulouse has twice as many sheep as Charleston. Charleston has 4 times as many sheep as Seattle. How many sheep do "
    "Toulouse, Charleston and Seattle have together if Seattle has 20 sheep?"
)


def function(task_id: int, text: str) -> dict[str, object]:
    return {
        "text": text,
        "code": "def last(arr,n):\r\n\treturn arr[n - 1] ",
        "task_id": task_id,
        "test_setup_code": "",
        "test_list": ["assert last([1, 2, 3], 3) == 3"],
        "challenge_test_list": [],
    }


def write_data(folder: Path) -> None:
    write(folder / "gsm8k_train.jsonl", [CLIPS, DISCOUNT, ROWS])
    write(folder / "gsm8k_test.jsonl", [{"question": TEST_QUESTION, "answer": "#### 260"}])
    write(
        folder / "svamp.jsonl",
        [{"question": "Each jar of honey from the old mill costs 7 coins. How many coins do 3 jars cost?"}],
    )
    write(folder / "mawps_asdiv_train.jsonl", SHORT)
    tasks = [
        function(601, "Write a function to find the last of n elements."),
        function(11, "Write a function to double each even number of a list."),
    ]
    write(folder / "mbpp.jsonl", tasks)
    write(
        folder / "humaneval.jsonl",
        [{"prompt": "def f(x):\n    '''Give the number of letters that x has before its first space.'''"}],
    )
    write(folder / "math500.jsonl", [{"prompt": "What is $2^5$?"}])


def write(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
