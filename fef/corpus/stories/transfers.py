"""Stories of what people give to one another: the amount of each before and after, and what they have together."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A} has {a} {u}. {B} [has|owns] {b} {u} and {d} {u2}. {A} [gives|hands] {B} {c} {u}.",
        (
            ("How many {u} does {A} have then?", "a - c"),
            ("How many {u} does {B} have then?", "b + c"),
            ("How many {u} do {A} and {B} have together after that?", "a + b"),
            ("At first, how many more {u} does {A} have than {B}?", "a - b"),
            ("At first, how many fewer {u} does {A} have than {B}?", "b - a"),
            ("How many {u} and {u2} does {B} have in the end?", "( b + c ) + d"),
            ("How many {u} and {u2} does {B} have at the beginning?", "b + d"),
            ("How many {u} and {u2} do the two have altogether?", "( a + b ) + d"),
        ),
        less=("ca",),
    ),
    Story(
        "{A} gave {a} {u} to {B} and {b} {u} to {C}. Now {A} has {c} {u}[.| left.] {B} had {d} {u} before that.",
        (
            ("How many {u} did {A} have at first?", "( a + b ) + c"),
            ("How many {u} did {A} give away?", "a + b"),
            ("How many {u} does {B} have now?", "a + d"),
            ("How many more {u} did {A} give to {B} than to {C}?", "a - b"),
            ("How many more {u} did {C} get than {B}?", "b - a"),
            ("If {A} had given nothing to {C}, how many {u} would {A} have now?", "b + c"),
            ("How many more {u} does {B} have now than {A}?", "( a + d ) - c"),
        ),
    ),
    Story(
        "{B} had some {u}. {A} gave {B} {a} {u} more, and now {B} has {b}. {A} has {c} {u} left. [{C} has|There are] "
        "{d} {u} [at home|in a cupboard].",
        (
            ("How many {u} did {B} have [at first|before {A} came]?", "b - a"),
            ("How many {u} did {A} have [at first|in the beginning]?", "a + c"),
            ("How many {u} do {A} and {B} have together now?", "b + c"),
            ("How many more {u} does {B} have now than {A}?", "b - c"),
            ("How many more {u} does {B} need now to have as many as {A}?", "c - b"),
            ("How many more {u} does {A} have now than {B} had at first?", "c - ( b - a )"),
        ),
        less=("ab",),
    ),
    Story(
        "{A} lent {B} {a} [books|comics|films|games]. {B} brought back {b} of them on {day} and {c} on {day2}. {B} "
        "lives {d} miles away from {A}.",
        (
            ("How many of them has {B} brought back [so far|on the two days]?", "b + c"),
            ("How many of them does {B} still have to bring back?", "( a - b ) - c"),
            ("How many of them did {B} still have on {day} evening?", "a - b"),
            ("How many more of them did {B} bring back on {day2} than on {day}?", "c - b"),
            ("How many fewer of them did {B} bring back on {day2} than on {day}?", "b - c"),
            ("If {B} had not come on {day}, how many of them would still be missing after {day2}?", "a - c"),
        ),
        small="d",
        enough="( a - b ) - c",
    ),
    Story(
        "{A} had {a} football cards and {B} had {b}. [{A} gave|They traded: {A} gave] {B} {c} of the cards and got "
        "{d} cards from {B} [in return|in exchange].",
        (
            ("How many cards does {A} have now?", "( a - c ) + d"),
            ("How many cards does {B} have now?", "( b + c ) - d"),
            ("[How many cards do they have together|What is the sum of their cards]?", "a + b"),
            ("By how many cards did {A}'s collection grow?", "d - c"),
            ("By how [many cards|much] did {A}'s collection shrink?", "c - d"),
            ("At first, how many more cards did {A} have than {B}?", "a - b"),
        ),
        less=("ca", "db"),
    ),
    Story(
        "{A} picked {a} plums. {He} gave some of them to {B} and had {b} left. {B} already had {c} plums. {C} picked "
        "{d} plums.",
        (
            ("[How many plums did {A} give to {B}|What is the number of plums that {B} got from {A}]?", "a - b"),
            ("How many plums does {B} have now?", "c + ( a - b )"),
            ("How many more plums did {A} pick than {C}?", "a - d"),
            ("How many more plums did {C} pick than {A}?", "d - a"),
            ("How many plums do {A} and {C} have altogether now?", "b + d"),
            ("How many plums did {A} and {C} pick in all?", "a + d"),
            ("How many plums do {A} and {B} have together now?", "a + c"),
        ),
        less=("ba",),
    ),
    Story(
        "[Grandmother|Grandfather|A neighbor] [made|baked] {a} pancakes. {A} ate {b} of them and {B} ate {c}. The "
        "others were for {C}, who is {d} years old.",
        (
            ("How many pancakes were left for {C}?", "( a - b ) - c"),
            ("How many pancakes did {A} and {B} eat together?", "b + c"),
            ("By how many pancakes did {A} eat more than {B}?", "b - c"),
            ("How many fewer pancakes did {A} eat than {B}?", "c - b"),
            ("If {B} had eaten none, how many pancakes would be left for {C}?", "a - b"),
            ("If {A} had eaten none, how many pancakes would be left for {C}?", "a - c"),
        ),
        small="d",
        enough="( a - b ) - c",
    ),
    Story(
        "{A} and {B} played marbles[ for {d} minutes| for {d} hours|]. {A} started with {a} marbles, and {B} "
        "[started|] with {b}. {A} won {c} marbles from {B}.",
        (
            ("With how many marbles did {A} go home?", "a + c"),
            ("How many marbles did {B} have left?", "b - c"),
            ("How many marbles do {A} and {B} have in all?", "a + b"),
            ("Before the game, how many more marbles did {B} have than {A}?", "b - a"),
            ("Before the game, by how many marbles did {A} have more than {B}?", "a - b"),
            ("How many more marbles than {B} does {A} have after the game?", "( a + c ) - ( b - c )"),
        ),
        less=("cb",),
        small="d",
    ),
    Story(
        "{A} brought {a} cans [for the food drive|to the food bank], {B} brought {b} cans, and their teacher brought "
        "{c}. {d} of all these cans were [damaged|too old] and had to be thrown away.",
        (
            ("How many cans did {A} and {B} bring [together|in all]?", "a + b"),
            ("How many cans were brought [altogether|by the three of them|in total]?", "( a + b ) + c"),
            ("How many cans did {B} and the teacher bring together?", "b + c"),
            ("How many more cans were thrown away than {A} brought?", "d - a"),
            ("How many more cans did the teacher bring than {A}?", "c - a"),
            ("How many fewer cans did {A} bring than {B}?", "b - a"),
            ("How many more cans did {A} and {B} together bring than the teacher?", "( a + b ) - c"),
        ),
        enough="( ( a + b ) + c ) - d",
    ),
    Story(
        "{A} had ${a}. {B} owed {A} ${b} and paid all of it back. After that, {A} bought a {goal} for ${c}. {B} has "
        "${d} left.",
        (
            ("How much money did {A} have before {he} went to buy the {goal}?", "a + b"),
            ("How much money does {A} have now?", "( a + b ) - c"),
            ("How much money did {B} have before {B} paid {A}?", "b + d"),
            ("If {B} had paid nothing back, how much money would {A} have now?", "a - c"),
            ("How much money did the two have together when {B} had just paid {A}?", "( a + b ) + d"),
            ("How much more did the {goal} cost than {A} had at first?", "c - a"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "For {his} birthday, {A} got ${a} from {his} parents, ${b} from {his} aunt and {c} {u} from {his} {friends}.",
        (
            ("How many dollars did {A} get in all?", "a + b"),
            ("How many more dollars did {A} get from {his} parents than from {his} aunt?", "a - b"),
            ("How many dollars less than the aunt did the parents give?", "b - a"),
            ("If {A} spends ${d} of the money, how much of it is left?", "( a + b ) - d"),
            ("If {A} already had {d} {u}, how many {u} does {he} have now?", "c + d"),
            ("If {A} loses {d} of the {u}, how many of them are left?", "c - d"),
            (
                "A {goal} costs ${d}. If {A} uses only the money from {his} parents, how many dollars are missing?",
                "d - a",
            ),
            ("{A} had ${d} before {his} birthday. How much money does {he} have now?", "( a + b ) + d"),
        ),
    ),
    Story(
        "{A} lost {a} {u}. [Then|The next day], {B} gave {him} {b} {u}, and now {A} has {c} {u}. {B} has {d} {u} left.",
        (
            ("How many {u} did {A} have at first?", "( c - b ) + a"),
            ("How many {u} did {B} have at first?", "b + d"),
            ("How many fewer {u} does {A} have now than {he} had at first?", "a - b"),
            ("How many more {u} does {A} have now than {he} had at first?", "b - a"),
            ("What is the number of {u} that {A} and {B} have together now?", "c + d"),
            ("If {B} had kept all of {her} {u}, how many would {A} have now?", "c - b"),
            ("If {A} had not lost any, how many {u} would {A} have now?", "a + c"),
        ),
        less=("bc",),
    ),
    Story(
        "The art teacher handed out {a} pencils to the girls and {b} pencils to the boys. {c} pencils stayed in the "
        "[drawer|box|cupboard]. There are {d} children in the class.",
        (
            ("How many pencils were there before the teacher handed any out?", "( a + b ) + c"),
            ("How many pencils did the teacher hand out?", "a + b"),
            ("If the boys had got none, how many pencils would the teacher have kept?", "b + c"),
            ("How many more pencils did the girls get than the boys?", "a - b"),
            ("How many more pencils did the boys get than the girls?", "b - a"),
            ("How many of the pencils did not go to the boys?", "a + c"),
        ),
        small="d",
    ),
    Story(
        "{A} put {a} toy cars into a [box|basket], and {B} put in {b}. Then their cousin took out {c} of these cars "
        "and put in {d} others.",
        (
            ("How many cars were in it before the cousin came?", "a + b"),
            ("If the cousin had taken out none, how many cars would be in it now?", "( a + b ) + d"),
            ("How many of {A}'s and {B}'s cars are still in it?", "( a + b ) - c"),
            ("By how many did the cousin make the number of cars smaller?", "c - d"),
            ("By how many did the cousin make the number of cars larger?", "d - c"),
            ("How many more cars did {B} put in than {A}?", "b - a"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "There are {a} liters of [water|juice|paint] in a red bucket and {b} liters in a blue bucket. {A} pours {c} "
        "liters from the red bucket into the blue one. The blue bucket can hold {d} liters.",
        (
            ("How many liters are in the red bucket after that?", "a - c"),
            ("How many liters are in the blue bucket after that?", "b + c"),
            ("How many liters are there in both buckets together?", "a + b"),
            ("At first, how many more liters would the blue bucket have held?", "d - b"),
            ("How many more liters could be poured into the blue bucket now?", "d - ( b + c )"),
            ("At first, how many more liters were in the red bucket than in the blue one?", "a - b"),
        ),
        less=("ca",),
        enough="d - ( b + c )",
    ),
    Story(
        "{A} [moved|carried] {c} {u} from the storeroom [of a shop|] to a shelf. After that, {a} {u} were in the "
        "storeroom and {b} {u} on the shelf. [A|One|Each] {u1} costs ${d}.",
        (
            ("How many {u} were in the storeroom before?", "a + c"),
            ("How many {u} were on the shelf before?", "b - c"),
            ("How many {u} are there in all?", "a + b"),
            ("How much do all the {u} cost that {A} moved?", "c * d"),
            ("How much money do the {u} on the shelf cost now?", "b * d"),
            ("Now, how many more {u} are in the storeroom than on the shelf?", "a - b"),
            ("How much do all the {u} cost that were in the storeroom before?", "( a + c ) * d"),
            ("How much do all the {u} cost together?", "( a + b ) * d"),
        ),
        less=("cb",),
        small="d",
    ),
    Story(
        "{A}, a farmer, had {a} sheep. {He} sold {b} sheep to {B} and {c} sheep to {C}. After that, {B} had {d} sheep.",
        (
            ("How many sheep does {A} have now?", "( a - b ) - c"),
            ("[How many sheep did {A} sell|What is the total number of sheep that {A} sold]?", "b + c"),
            ("How many sheep did {B} have before?", "d - b"),
            ("How many more sheep did {B} buy than {C}?", "b - c"),
            ("If {A} had sold sheep only to {C}, how many sheep would {A} have now?", "a - c"),
            ("How many sheep did {A} have left before {he} sold some to {C}?", "a - b"),
        ),
        less=("bd",),
        enough="( a - b ) - c",
    ),
    Story(
        "{A} [found|gathered|collected] {a} shells on the beach, and {B} [found|gathered|collected] {b}. {A} gave "
        "some of {his} shells to a friend and kept {c}. {B} threw {d} of {her} shells back into the sea.",
        (
            ("How many shells did {A} give to the friend?", "a - c"),
            ("How many shells does {B} have left?", "b - d"),
            ("Find the number of shells that {A} and {B} [found|collected] altogether.", "a + b"),
            ("How many shells do {A} and {B} have now altogether?", "c + ( b - d )"),
            ("How many more shells did {B} find on the beach than {A}?", "b - a"),
            ("By how many shells did {A} find more than {B}?", "a - b"),
            ("If {A} had given none away, how many shells would the two have altogether?", "( a + b ) - d"),
        ),
        less=("ca", "db"),
    ),
    Story(
        "{A} needs {a} tokens for a [prize|teddy bear|ride]. {He} [has|has won] {b} tokens, and {B}, who had {d} "
        "tokens, gives {him} {c} of them.",
        (
            ("How many more tokens does {A} need now?", "( a - b ) - c"),
            ("How many more tokens did {A} need before {B} gave {him} some?", "a - b"),
            ("How many tokens does {A} have now?", "b + c"),
            ("How many tokens does {B} have now?", "d - c"),
            ("Before {B} gave any away, how many more tokens did {B} have than {A}?", "d - b"),
            ("How many tokens do the two have together?", "b + d"),
        ),
        less=("cd",),
        enough="( a - b ) - c",
    ),
    Story(
        "{A} had {a} cups of flour. {B} borrowed {b} cups of it, and {A} used {c} cups for a [cake|loaf of bread]. "
        "Then {B} brought back the same amount of flour [as|that] {B} had borrowed. The oven was hot for {d} minutes.",
        (
            ("How many cups of flour does {A} have now?", "a - c"),
            ("How many cups of flour did {A} have just before {B} brought some back?", "( a - b ) - c"),
            ("How many cups of flour did {A} have when {B} had just borrowed some?", "a - b"),
            ("How many more cups of flour did {B} borrow than {A} used?", "b - c"),
            ("How many fewer cups of flour did {B} borrow than {A} used?", "c - b"),
        ),
        small="d",
        enough="( a - b ) - c",
    ),
    Story(
        "{A} wrote {a} postcards [from the sea|on vacation|from camp]: {b} to {his} [friends|classmates|"
        "neighbors], the others to {his} family. {B} wrote {c} postcards, {d} of them to {her} family.",
        (
            ("How many postcards did {A} write to {his} family?", "a - b"),
            ("How many of {B}'s postcards went to somebody outside the family?", "c - d"),
            ("How many postcards did {A} and {B} write [together|in all|combined]?", "a + c"),
            ("How many more postcards did {A} write than {B}?", "a - c"),
            ("How many fewer postcards did {A} write than {B}?", "c - a"),
            ("How many postcards went to their families in all?", "( a - b ) + d"),
        ),
        less=("ba", "dc"),
    ),
    Story(
        "{A} took {a} {u} to a [flea market|yard sale]. {He} sold {b} of them and gave {c} to {B}. {A} took the rest "
        "home. {B} already had {d} {u} before that.",
        (
            ("How many {u} did {A} take home?", "( a - b ) - c"),
            ("How many of the {u} are no longer {A}'s?", "b + c"),
            ("How many {u} does {B} have now?", "c + d"),
            ("If {A} had kept those that {B} got, how many {u} would {he} have taken home?", "a - b"),
            ("How many more {u} did {A} sell than {he} gave to {B}?", "b - c"),
            ("How many more {u} did {A} give to {B} than {he} sold?", "c - b"),
        ),
        enough="( a - b ) - c",
    ),
    Story(
        "The red team had {a} players and the blue team {b}. Then {c} players changed from the blue team to the red "
        "team[, because| because] their friends were there. The game lasted {d} minutes.",
        (
            ("How many players did the red team have then?", "a + c"),
            ("How many players did the blue team have then?", "b - c"),
            ("How many players were in the two teams [together|combined|altogether]?", "a + b"),
            ("Before the change, how many more players were in the blue team than in the red team?", "b - a"),
            ("Before the change, how many fewer players were in the blue team than in the red team?", "a - b"),
            (
                "After the change, how many more players were in the red team than in the blue team?",
                "( a + c ) - ( b - c )",
            ),
        ),
        less=("cb",),
        small="d",
    ),
    Story(
        "After {A} had [paid|given] {B} ${a}, {A} had ${b} and {B} had ${c}. {B} [then|later] spent ${d} [on a "
        "meal|at the {place}|on a ticket].",
        (
            ("How much money did {A} have before {he} paid {B}?", "a + b"),
            ("How much money did {B} have before {A} paid?", "c - a"),
            ("How much money does {B} have in the end?", "c - d"),
            ("Right after the payment, how much more money did {A} have than {B}?", "b - c"),
            ("Right after the payment, how much less money did {A} have than {B}?", "c - b"),
            ("How much money did the two have in all before {B} spent some?", "b + c"),
            ("How much money do the two have in all now?", "b + ( c - d )"),
            ("Before the payment, how much more money did {A} have than {B}?", "( a + b ) - ( c - a )"),
        ),
        less=("ac", "dc"),
    ),
    Story(
        "{A} borrowed ${a} from {B} to buy a {goal} that cost ${d}. {He} paid back ${b} in {month} and ${c} in "
        "{month2}.",
        (
            ("How much money has {A} paid back [in total|altogether|so far]?", "b + c"),
            ("How much money does {A} still owe {B}?", "( a - b ) - c"),
            ("How much did {A} owe after the first payment?", "a - b"),
            ("How much more did {A} pay back in {month2} than in {month}?", "c - b"),
            ("How much less did {A} pay back in {month2} than in {month}?", "b - c"),
            ("How much of {his} own money did {A} need for the {goal}?", "d - a"),
        ),
        less=("ad",),
        enough="( a - b ) - c",
    ),
)
