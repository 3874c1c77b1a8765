"""Stories of counts compared with one another: more than, fewer than, both ways round, and what is missing."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "A bank has {a} windows, {b} fewer than the hotel [next door|across the street]. The hospital has {c} "
        "windows, {d} more than the school.",
        (
            ("[How many windows does the hotel have|What is the number of windows of the hotel]?", "a + b"),
            ("How many windows does the school have?", "c - d"),
            ("How many windows do the bank and the hospital have together?", "a + c"),
            ("How many more windows does the bank have than the hospital?", "a - c"),
            ("How many fewer windows does the bank have than the hospital?", "c - a"),
            ("How many more windows does the hotel have than the hospital?", "( a + b ) - c"),
            ("How many windows do the bank and the hotel have in all?", "a + ( a + b )"),
            ("How many windows do the hospital and the school have together?", "c + ( c - d )"),
        ),
        less=("dc",),
    ),
    Story(
        "[A|The] test had {d} questions. {A} answered {a} of them and {B} answered {b}. {C} answered {c} more than "
        "{A}.",
        (
            ("How many questions did {C} answer?", "a + c"),
            ("How many questions did {A} leave out?", "d - a"),
            ("How many questions did {B} not answer?", "d - b"),
            ("How many more questions did {B} answer than {A}?", "b - a"),
            ("How many more questions did {C} answer than {B}?", "( a + c ) - b"),
            ("How many questions did {C} not answer?", "d - ( a + c )"),
        ),
        less=("bd",),
        enough="d - ( a + c )",
    ),
    Story(
        "{A} has {a} {u}, {B} has {b} {u} and {C} has {c} {u}. {D} has {d} {u2}.",
        (
            ("How many more {u} does {A} need to have as many as {B}?", "b - a"),
            ("How many {u} does {A} need to get to have as many as {C}?", "c - a"),
            ("How many {u} would {C} have to lose to have as many as {B}?", "c - b"),
            ("How many more {u} do {A} and {B} together have than {C}?", "( a + b ) - c"),
            ("How many more {u} does {C} have than {A} and {B} together?", "c - ( a + b )"),
            ("How many {u} and {u2} do {A} and {D} have altogether?", "a + d"),
            ("How many {u} do {A} and {C} have together?", "a + c"),
        ),
        less=("ab", "bc"),
    ),
    Story(
        "Last year, {a} girls and {b} boys sang in the choir. This year there are {c} girls and {d} boys[ in it|].",
        (
            ("How many children sang in the choir last year?", "a + b"),
            ("How many children sing in the choir [this year|now]?", "c + d"),
            ("How many more girls are there this year than last year?", "c - a"),
            ("How many fewer boys are there this year than last year?", "b - d"),
            ("How many more girls than boys are in the choir this year?", "c - d"),
            ("How many more boys than girls were in the choir last year?", "b - a"),
            ("If there were as many boys now as last year, how many children would be in the choir?", "b + c"),
            ("How many more children were in the choir last year than there are girls this year?", "( a + b ) - c"),
        ),
        less=("ac", "db"),
    ),
    Story(
        "Every child [in the reading club|in the class] wants to read {c} books [this year|this summer]. {A} has "
        "read {a} of them [so far|already] and {B} has read {b}.",
        (
            ("How many books does {A} still have to read?", "c - a"),
            ("How many books does {B} still have to read?", "c - b"),
            ("How many books have the two read in all?", "a + b"),
            ("How many more books has {A} read than {B}?", "a - b"),
            ("By how many books is {A} behind {B}?", "b - a"),
            ("If {A} reads {d} more books [in {month}|soon], how many will {he} have read?", "a + d"),
            ("If {A} reads {d} more books, how many will {he} still have to read?", "( c - a ) - d"),
        ),
        less=("ac", "bc"),
    ),
    Story(
        "A [hall|theater|church] has {a} chairs. {b} adults and {c} children come in for a [concert|play|show] that "
        "takes {d} minutes, and everyone takes a chair.",
        (
            ("[How many chairs are taken|What is the number of chairs that are taken]?", "b + c"),
            ("How many chairs stay empty?", "a - ( b + c )"),
            (
                "[How many more adults than children have come|How much higher is the number of adults than that of "
                "children]?",
                "b - c",
            ),
            (
                "[How many more children than adults have come|How much lower is the number of adults than that of "
                "children]?",
                "c - b",
            ),
            ("If only the adults sat down, how many chairs would be free?", "a - b"),
            ("If only the children sat down, how many chairs would be free?", "a - c"),
        ),
        small="d",
        enough="a - ( b + c )",
    ),
    Story(
        "{A} caught {a} fish in the morning and {b} in the afternoon. {B} caught {c} more fish than {A} caught in "
        "the morning. They were at the lake for {d} hours.",
        (
            ("How many fish did {A} catch [that day|in all]?", "a + b"),
            ("How many fish did {B} catch?", "a + c"),
            ("How many more fish did {A} catch in the afternoon than in the morning?", "b - a"),
            ("How many fewer fish did {A} catch in the afternoon than in the morning?", "a - b"),
            ("How many more fish did {B} catch than {A} caught in the afternoon?", "( a + c ) - b"),
            ("How many fish did the two catch altogether?", "( a + b ) + ( a + c )"),
        ),
        small="d",
    ),
    Story(
        "A [lighthouse|tower] has a staircase of {b} steps. {A} stands on step {a}. {B} stands {c} steps higher than "
        "{A}, and {C} stands {d} steps lower than {A}.",
        (
            ("What is the number of the step on which {B} stands?", "a + c"),
            ("What is the number of the step on which {C} stands?", "a - d"),
            ("How many steps does {C} have to climb to get to {B}?", "c + d"),
            ("How many steps does {A} have to climb to reach the top one?", "b - a"),
            ("How many steps does {B} still have to climb to reach the top one?", "b - ( a + c )"),
            ("How many steps does {C} have to climb to reach the top one?", "( b - a ) + d"),
        ),
        less=("da",),
        enough="b - ( a + c )",
    ),
    Story(
        "In the election of the class president, {A} got {a} votes, {B} got {b} and {C} got {c}. {d} children did "
        "not vote.",
        (
            ("[How many children voted|What is the number of children who voted]?", "( a + b ) + c"),
            ("How many more votes did {A} get than {B}?", "a - b"),
            ("How many more votes would {A} have needed to have as many as {B}?", "b - a"),
            ("How many votes did {B} and {C} get together?", "b + c"),
            ("How many more votes did {A} get than {B} and {C} together?", "a - ( b + c )"),
            ("If all who did not vote had voted for {B}, how many votes would {B} have got?", "b + d"),
            (
                "If all who did not vote had voted for {B}, how many more votes than {A} would {B} have got?",
                "( b + d ) - a",
            ),
        ),
    ),
    Story(
        "A mason needs {a} bricks for a wall and {b} bricks for a chimney. There are {c} bricks, but {d} of them are "
        "broken and cannot be used.",
        (
            ("How many bricks does the mason need [in all|altogether]?", "a + b"),
            ("How many bricks can be used?", "c - d"),
            ("How many more bricks does the wall need than the chimney?", "a - b"),
            ("How many more bricks does the chimney need than the wall?", "b - a"),
            ("How many more good bricks does the mason need for the wall?", "a - ( c - d )"),
            ("If no bricks were broken, how many more bricks would the mason need for the wall?", "a - c"),
            ("If no bricks were broken, how many more bricks would the mason have to get for both?", "( a + b ) - c"),
        ),
        less=("dc",),
    ),
    Story(
        "A recipe for [bread|dumplings|noodles] needs {a} cups of flour, {b} cups of water and {c} spoons of salt. "
        "{A} has put {d} cups of flour into the bowl and nothing else.",
        (
            ("How many more cups of flour does {A} have to put in?", "a - d"),
            ("How many more cups of flour than of water does the recipe need?", "a - b"),
            ("How many fewer cups of flour than of water does the recipe need?", "b - a"),
            ("How many cups of flour and water does the recipe need?", "a + b"),
            ("How many cups of flour and water are still missing?", "( a - d ) + b"),
        ),
        less=("da",),
    ),
    Story(
        "On {day}, {a} children and {b} adults went to the [museum|circus|swimming pool]. On {day2}, {c} children "
        "came, but {d} fewer adults than on {day}.",
        (
            ("How many adults came on {day2}?", "b - d"),
            ("How many children came on the two days?", "a + c"),
            ("How many people came on {day}?", "a + b"),
            ("How many people came on {day2}?", "c + ( b - d )"),
            ("How many more children came on {day2} than on {day}?", "c - a"),
            ("How many fewer children came on {day2} than on {day}?", "a - c"),
            ("On {day}, how many more children came than adults?", "a - b"),
            ("How many adults came on the two days altogether?", "b + ( b - d )"),
        ),
        less=("db",),
    ),
    Story(
        "The Lions have won {a} games and lost {b}. The Bears have won {c} games and lost {d}. No game ended in a "
        "[tie|draw].",
        (
            ("How many games have the Lions played?", "a + b"),
            ("How many games have the Bears played?", "c + d"),
            ("How many more games have the Lions won than lost?", "a - b"),
            ("How many more games do the Lions need to win to have as many wins as the Bears?", "c - a"),
            ("How many games have the two teams lost in all?", "b + d"),
            ("How many fewer games have the Bears lost than the Lions?", "b - d"),
            ("How many more games have the Lions played than the Bears have lost?", "( a + b ) - d"),
        ),
    ),
    Story(
        "In a [spelling bee|quiz|test], {A} had {a} right answers and {b} wrong ones. {B} had {c} right answers more "
        "than {A}, and {d} wrong answers.",
        (
            ("How many answers did {A} give?", "a + b"),
            ("How many right answers did {B} [have|give]?", "a + c"),
            ("How many answers did {B} give in all?", "( a + c ) + d"),
            ("What is the number of wrong answers of the two together?", "b + d"),
            ("How many more right answers than wrong ones did {A} have?", "a - b"),
            ("How many more wrong answers did {B} have than {A}?", "d - b"),
            ("How many fewer wrong answers did {B} have than {A}?", "b - d"),
        ),
    ),
    Story(
        "{A} has {a} {u}. If {B} had {b} {u} more, {B} would have as many as {A}. If {C} [lost|gave away] {c} {u}, "
        "{C} would have as many as {A}, too. {D} has {d} {u}.",
        (
            ("How many {u} does {B} have?", "a - b"),
            ("How many {u} does {C} have?", "a + c"),
            ("How many more {u} does {C} have than {B}?", "b + c"),
            ("How many {u} do {A} and {D} have altogether?", "a + d"),
            ("How many more {u} does {A} have than {D}?", "a - d"),
            ("How many {u} do {A} and {B} have in total?", "a + ( a - b )"),
            ("How many more {u} does {C} have than {D}?", "( a + c ) - d"),
        ),
        less=("ba",),
    ),
    Story(
        "{A} would have {a} {u} if somebody gave {him} {b} more. {B} would have {c} {u} if {B} [lost|sold|gave away] "
        "{d}.",
        (
            ("How many {u} does {A} have now?", "a - b"),
            ("How many {u} does {B} have now?", "c + d"),
            ("If both of these things happened, how many {u} would {A} and {B} have in total?", "a + c"),
            ("If both of these things happened, how many more {u} would {A} have than {B}?", "a - c"),
            ("If both of these things happened, how many fewer {u} would {A} have than {B}?", "c - a"),
            ("If only {B}'s {u} changed in this way, how many {u} would the two have together?", "( a - b ) + c"),
        ),
        less=("ba",),
    ),
    Story(
        "On [a farm|{A}'s farm], there are {a} more hens than ducks and {b} fewer geese than ducks. There are {c} "
        "ducks and {d} cows.",
        (
            ("How many hens are there?", "c + a"),
            ("How many geese are there?", "c - b"),
            ("How many more hens than geese are there?", "a + b"),
            ("How many ducks and cows are there in total?", "c + d"),
            ("By how much is the number of cows higher than that of ducks?", "d - c"),
            ("By how much is the number of cows lower than that of ducks?", "c - d"),
            ("How many hens and ducks are there altogether?", "( c + a ) + c"),
            ("How many geese and cows are there altogether?", "( c - b ) + d"),
        ),
        less=("bc",),
    ),
    Story(
        "There are {a} pupils in the [older|morning|swimming] class, {b} more than in {A}'s class. In {A}'s class, "
        "{c} pupils have a pet, and {d} pupils of the other class have one.",
        (
            ("How many pupils are in {A}'s class?", "a - b"),
            ("How many pupils of the other class have no pet?", "a - d"),
            ("How many pupils of the two classes have a pet?", "c + d"),
            ("How many pupils of {A}'s class have no pet?", "( a - b ) - c"),
            ("How many pupils are in the two classes together?", "a + ( a - b )"),
            ("How many more pupils of the other class than of {A}'s class have a pet?", "d - c"),
        ),
        less=("ba", "da"),
        enough="( a - b ) - c",
    ),
    Story(
        "On {day}, {A} did {a} [push-ups|sit-ups|jumps]. On {day2}, it was {b} more than on {day}, and on {day3} {c} "
        "fewer than on {day2}. {B} did {d} on {day}.",
        (
            ("How many did {A} do on {day2}?", "a + b"),
            ("How many did {A} do on {day3}?", "( a + b ) - c"),
            ("How many did {A} and {B} do on {day} [together|in all]?", "a + d"),
            ("How many more did {A} do on {day3} than on {day}?", "b - c"),
            ("How many fewer did {A} do on {day3} than on {day}?", "c - b"),
            ("On {day}, how many more would {A} have had to do to reach {B}'s number?", "d - a"),
            ("How many did {A} do on {day} and {day2} in all?", "a + ( a + b )"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "On {day}, {A} drank {a} [glasses of water|cups of tea], {b} fewer than on {day2}. {B} drank {c} on {day} "
        "and {d} on {day2}.",
        (
            ("How many did {A} drink on {day2}?", "a + b"),
            ("How many did the two drink on {day} altogether?", "a + c"),
            ("How many did {B} drink on these two days?", "c + d"),
            ("How many more did {B} drink on {day2} than on {day}?", "d - c"),
            ("How many did {A} drink on these two days?", "a + ( a + b )"),
            ("On {day}, how many fewer did {A} drink than {B}?", "c - a"),
            ("On {day2}, how many more did {A} drink than {B}?", "( a + b ) - d"),
        ),
        small="abcd",
    ),
    Story(
        "{A} has {a} {box} with {b} {u} in each of them. {B} has {c} {u} without a {box1}, of which {d} are small.",
        (
            ("How many {u} does {A} have?", "a * b"),
            ("How many of {B}'s {u} are not small?", "c - d"),
            ("How many {u} do {A} and {B} have altogether?", "( a * b ) + c"),
            ("How many more {u} does {A} have than {B}?", "( a * b ) - c"),
            ("How many more {u} does {B} have than {A}?", "c - ( a * b )"),
        ),
        less=("dc",),
        small="ab",
    ),
    Story(
        "{A} put {a} {u} into {b} {box}, with the same number in each. {B} has {c} {u} [at home|on a table|in a "
        "drawer]. {A} is {d} years old.",
        (
            ("How many {u} are in each of the {box}?", "a / b"),
            ("How many {u} do {A} and {B} have combined?", "a + c"),
            ("How many more {u} does {A} have than {B}?", "a - c"),
            ("How many more {u} does {A} need to have as many as {B}?", "c - a"),
        ),
        small="bd",
    ),
)
