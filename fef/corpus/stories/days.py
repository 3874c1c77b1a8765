"""Stories of counts on several days, weeks, months and seasons."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "The [town|school|village] library lent [out|] {a} books on {day}, {b} [books|] on {day2} and {c} [books|] "
        "on {day3}. On {day3}, {d} books were [brought back|returned].",
        (
            ("How many books did the library lend on {day} and {day2} [together|combined|in all]?", "a + b"),
            ("How many more books did the library lend on {day2} than on {day}?", "b - a"),
            ("How many books did the library lend on the three days [in all|altogether|in total]?", "( a + b ) + c"),
            ("On {day3}, how many more books were lent than [brought back|returned]?", "c - d"),
            ("How many books were lent after {day}?", "b + c"),
        ),
        ("ab", "dc"),
    ),
    Story(
        "{A} picked {a} [apples|pears|plums] on {day} and {b} on {day2}. {He} gave {c} of those from {day} to [a "
        "neighbor|{his} grandmother|{B}] and baked {d} pies.",
        (
            ("How many [pieces of fruit|fruits] did {A} pick on the two days?", "a + b"),
            ("How many of the fruits from {day} did {A} not give away?", "a - c"),
            ("How many more fruits did {A} pick on {day2} than on {day}?", "b - a"),
            ("How many of all the fruits [that {he} picked|picked] did {A} not give away?", "( a + b ) - c"),
        ),
        ("ca", "ab"),
        "d",
    ),
    Story(
        "[From {day} to {day3}|In three days], a [bakery|baker] sold {a} loaves of bread: {b} on {day}, {c} on "
        "{day2} and the [rest|others] on {day3}. [On {day3}, {d} cakes were sold, too.|{d} pounds of flour were "
        "used.|]",
        (
            ("How many loaves were sold on {day3}?", "( a - b ) - c"),
            ("How many loaves were sold on {day} and {day2} [together|altogether]?", "b + c"),
            ("How many loaves were sold on {day2} and {day3} [together|altogether]?", "a - b"),
            (
                "Find the number of loaves sold on {day} and {day3} together.",
                "a - c",
            ),
            ("How many more loaves were sold on {day2} than on {day}?", "c - b"),
        ),
        ("bc",),
        enough="( a - b ) - c",
    ),
    Story(
        "[A museum|The zoo|A castle|The aquarium] sold {a} tickets on Saturday and {b} [tickets|] on Sunday. {c} of "
        "Saturday's tickets and {d} of Sunday's tickets were for children[, the others for adults|; all others were "
        "for adults].",
        (
            ("How many tickets for adults were sold on Saturday?", "a - c"),
            ("How many tickets for adults were sold on Sunday?", "b - d"),
            ("How many tickets were sold on the weekend?", "a + b"),
            ("How many tickets for children were sold on the weekend?", "c + d"),
            ("How many more tickets for children were sold on Sunday than on Saturday?", "d - c"),
            ("How many tickets for adults were sold on the weekend?", "( a - c ) + ( b - d )"),
        ),
        ("ca", "db", "cd"),
    ),
    Story(
        "In {month} it rained on {a} days, in {month2} on {b} days and in {month3} on {c} days. [{A} has {d} "
        "umbrellas.|{A} bought an umbrella for ${d}.|{A}'s garden has {d} flower beds.]",
        (
            ("On how many days did it rain in {month} and {month2}?", "a + b"),
            ("How many more rainy days were there in {month3} than in {month}?", "c - a"),
            ("How many rainy days were there in the three months [altogether|in total]?", "( a + b ) + c"),
            (
                "How many more rainy days were there in the last two months [together|] than in {month}?",
                "( b + c ) - a",
            ),
            (
                "What is the number of rainy days in {month2} and {month3} [together|combined]?",
                "b + c",
            ),
            (
                "By how much is the number of rainy days in {month3} greater than [the number|that] in {month2}?",
                "c - b",
            ),
        ),
        ("ac", "bc"),
        "abcd",
    ),
    Story(
        "{A} [began|started] a [novel|mystery book|new book] with {d} chapters on {day} and read {a} pages that day. "
        "{He} read {b} pages on {day2} and the last {c} pages on {day3}.",
        (
            ("How many pages does the book have?", "( a + b ) + c"),
            ("How many pages had {A} read by the end of {day2}?", "a + b"),
            ("How many pages were [left|still unread] after {day}?", "b + c"),
            ("How many more pages did {A} read on {day} than on {day3}?", "a - c"),
            ("How many fewer pages did {A} read on {day3} than on {day2}?", "b - c"),
        ),
        ("ca", "cb"),
        "d",
        "900 - ( a + ( b + c ) )",
    ),
    Story(
        "{A}'s hens laid {a} eggs last week and {b} eggs this week. {c} of this week's eggs [broke|cracked|fell down "
        "and broke], but none of last week's did. {A} sells an egg for {d} cents.",
        (
            ("How many eggs did the hens lay in the two weeks?", "a + b"),
            ("By how many eggs is this week's number [greater|larger] than last week's?", "b - a"),
            ("How many of this week's eggs are [whole|not broken]?", "b - c"),
            ("How many cents does {A} get for [all of|] last week's eggs?", "a * d"),
            ("How many whole eggs does {A} have from both weeks [together|]?", "( a + b ) - c"),
        ),
        ("ab", "cb"),
        "d",
    ),
    Story(
        "{A} swam {a} laps on {day}[, which was {b} more than on {day2}|. That was {b} more than on {day2}]. On "
        "{day3}, {he} swam {c} laps [and rested for {d} minutes|in lane {d}|with {d} {friends}].",
        (
            ("How many laps did {A} swim on {day2}?", "a - b"),
            ("How many laps did {A} swim on {day} and {day3} [together|altogether]?", "a + c"),
            ("How many laps did {A} swim on {day} and {day2} [together|altogether]?", "a + ( a - b )"),
            ("How many more laps did {A} swim on {day3} than on {day}?", "c - a"),
            ("How many laps did {A} swim on {day2} and {day3} [together|altogether]?", "( a - b ) + c"),
        ),
        ("ba", "ac"),
        "d",
        "99 - c",
    ),
    Story(
        "On {day}, [a post office|the mail carrier|a company] [got|received] {a} letters. That was {b} fewer than on "
        "{day2} and {c} more than on {day3}. [There were also {d} parcels on {day}.|]",
        (
            ("How many letters came on {day2}?", "a + b"),
            ("How many letters came on {day3}?", "a - c"),
            ("How many more letters came on {day2} than on {day3}?", "b + c"),
            ("How many letters came on {day} and {day2} [combined|altogether]?", "a + ( a + b )"),
            ("How many letters came on {day} and {day3} [combined|altogether]?", "a + ( a - c )"),
        ),
        ("ca",),
    ),
    Story(
        "A [cinema|movie theater] showed a film twice on {day}. {a} people [came|bought tickets] in the afternoon "
        "and {b} in the evening. {c} people left the evening show [early|before the end]. Each ticket cost ${d}.",
        (
            ("How many tickets were sold on {day}?", "a + b"),
            ("How many people [watched|saw] the evening show to the end?", "b - c"),
            ("How many dollars were paid for the tickets in the afternoon?", "a * d"),
            ("How many dollars were paid for the tickets in the evening?", "b * d"),
            ("How many people saw one of the shows to the end, if nobody left in the afternoon?", "( a + b ) - c"),
            ("How many dollars were paid for all tickets [together|]?", "( a + b ) * d"),
            ("How many more people came in the evening than in the afternoon?", "b - a"),
        ),
        ("cb", "ab"),
        "d",
    ),
    Story(
        "[In winter, {A}'s shop sold {a} sleds and {b} {u}.|{A}'s shop sold {a} sleds and {b} {u} in winter.] In "
        "spring, it sold {c} {u} and {d} [bikes|kites].",
        (
            ("How many {u} were sold in the two seasons?", "b + c"),
            ("How many more {u} were sold in winter than in spring?", "b - c"),
            ("How many things were sold in winter?", "a + b"),
            ("How many things were sold in spring?", "c + d"),
            ("How many more {u} than sleds were sold in winter?", "b - a"),
            (
                "How many more {u} than sleds were sold in the two seasons, if no sleds were sold in spring?",
                "( b + c ) - a",
            ),
        ),
        ("cb", "ab"),
    ),
    Story(
        "[There are {a} students in {A}'s class.|{A}'s class has {a} students.] On Monday, {b} of them were "
        "[absent|sick|missing], and on Thursday, {c} were. {d} of those who came on Monday were late.",
        (
            ("How many students [came to school|were present|were there] on Monday?", "a - b"),
            ("How many students [came to school|were present|were there] on Thursday?", "a - c"),
            ("How many more students missed school on Thursday than on Monday?", "c - b"),
            ("How many students came on time on Monday?", "( a - b ) - d"),
        ),
        ("ca", "bc"),
        "bcd",
        "( 40 - a ) * ( a - 25 )",
    ),
    Story(
        "{A} saved ${a} in {month} and ${b} in {month2}. {B} saved ${d} in {month}. In {month3}, {A} paid ${c} for a "
        "{goal}[ and saved nothing|].",
        (
            ("How many dollars did {A} save in {month} and {month2} [together|altogether]?", "a + b"),
            ("How many dollars did {A} and {B} save in {month} [together|altogether]?", "a + d"),
            ("How many more dollars did {A} save in {month2} than in {month}?", "b - a"),
            (
                "How many dollars of what {A} saved in the two months are left after {he} bought the {goal}?",
                "( a + b ) - c",
            ),
            ("In {month}, how many more dollars did {A} save than {B}?", "a - d"),
            ("How many dollars did the two save altogether, if {B} saved only in {month}?", "( a + b ) + d"),
        ),
        ("ab", "da"),
        enough="( a + b ) - c",
    ),
    Story(
        "A [factory|workshop|company] makes {a} bikes and {b} scooters [a|each|every] day. {d} people work there. "
        "[This month|In {month}], it is open on {c} days.",
        (
            ("How many bikes are made on these days?", "a * c"),
            ("How many scooters are made on these days?", "b * c"),
            ("How many bikes and scooters are made [a|each] day [in all|altogether]?", "a + b"),
            ("How many more scooters than bikes are made [a|each] day?", "b - a"),
            ("How many vehicles are made on all of these days [together|]?", "( a + b ) * c"),
        ),
        ("ab",),
        "c",
    ),
    Story(
        "On {day}, {a} roses were open in {A}'s garden. On {day2}, {b} more roses opened. On {day3}, {he} cut {c} of "
        "the open roses and put [the same number|equally many] of them in each of {d} vases.",
        (
            ("How many roses were open on {day2}?", "a + b"),
            ("How many open roses were [still|left] in the garden after {A} had cut some?", "( a + b ) - c"),
            ("How many roses are in each vase?", "c / d"),
            ("How many more roses opened on {day2} than were cut on {day3}?", "b - c"),
        ),
        ("cb",),
        "d",
    ),
    Story(
        "In the morning, {a} cars were [parked|standing] in [a parking lot|a garage|front of a school]. By noon, {b} "
        "more had [come|arrived] and {c} [cars|of the first ones] had left. In the evening, there were {d} cars.",
        (
            ("How many cars were there at noon?", "( a + b ) - c"),
            ("By noon, how many more cars had [come|arrived] than left?", "b - c"),
            ("How many fewer cars were there in the evening than in the morning?", "a - d"),
            ("If no car had left by noon, how many cars would have been there at noon?", "a + b"),
        ),
        ("cb", "ca", "da"),
    ),
    Story(
        "{A} got {a} messages on {day} and answered {b} of them[.| that day.] [On {day2}|The next day], {he} got {c} "
        "messages and answered {d} of these.",
        (
            ("How many of the messages from {day} did {A} not answer?", "a - b"),
            ("How many of the messages from {day2} did {A} not answer?", "c - d"),
            ("How many messages did {A} get on the two days [altogether|]?", "a + c"),
            ("How many messages did {A} answer [altogether|in all]?", "b + d"),
            ("How many more messages did {A} get on {day2} than on {day}?", "c - a"),
        ),
        ("ba", "dc", "ac"),
    ),
    Story(
        "In [fall|the first half of the season|the first months], [a soccer team|{A}'s team|the school's hockey "
        "team] scored {a} goals and let in {b} [goals|]. After the winter break, it scored {c} goals and let in {d}.",
        (
            ("How many goals did the team score [altogether|in all]?", "a + c"),
            ("How many goals did the team let in [altogether|in all]?", "b + d"),
            ("How many more goals did the team score after the break than before it?", "c - a"),
            ("Before the break, how many more goals did the team score than it let in?", "a - b"),
            ("How many more goals did the team score than it let in altogether?", "( a + c ) - ( b + d )"),
        ),
        ("ac", "ba", "dc"),
        enough="99 - c",
    ),
    Story(
        "On {day}, {a} guests came to {A}'s [birthday|garden|costume] party. {b} of them brought [a "
        "gift|flowers|food]. {c} of the guests stayed [overnight|until {day2}], and the others went home [late on "
        "{day}|before midnight].",
        (
            ("How many guests [brought nothing|came without anything]?", "a - b"),
            ("How many guests went home on {day}?", "a - c"),
            ("If every guest ate {d} cookies, how many cookies did the guests eat?", "a * d"),
            ("How many more guests brought something than stayed until {day2}?", "b - c"),
        ),
        ("ba", "cb"),
        "d",
        "99 - a",
    ),
    Story(
        "[Each|Every] day[,|] {A} delivers {a} newspapers on foot and {b} newspapers by bike. {He} earns {c} cents "
        "for each newspaper. [It takes {him} {d} hours.|]",
        (
            ("How many newspapers does {A} deliver [each|a] day?", "a + b"),
            ("How many cents a day does {A} earn on foot?", "a * c"),
            ("How many cents a day does {A} earn by bike?", "b * c"),
            ("How many more newspapers does {A} deliver by bike than on foot [each|a] day?", "b - a"),
            ("How many cents does {A} earn [each|a] day [in all|]?", "( a + b ) * c"),
        ),
        ("ab",),
        "cd",
        "300 - ( a + b )",
    ),
    Story(
        "An ice cream [stand|shop|truck] sold {a} cones in July, {b} [cones|] in August and {c} [cones|] in "
        "September. {d} of the cones sold in July were chocolate.",
        (
            ("How many cones were sold in July and August?", "a + b"),
            ("By how many did the sales fall from August to September?", "b - c"),
            ("How many cones sold in July were not chocolate?", "a - d"),
            ("How many cones were sold after July?", "b + c"),
            (
                "How many more cones were sold in July and August together than in September?",
                "( a + b ) - c",
            ),
            (
                "What is the number of cones sold in the three months?",
                "( a + b ) + c",
            ),
        ),
        ("cb", "da"),
    ),
    Story(
        "Last year, {A}'s field gave {a} sacks of [potatoes|grain|onions]. This year, it gave {b} sacks more than "
        "last year. {A} sold {c} of this year's sacks and [kept|stored] the rest. A sack weighs {d} pounds.",
        (
            ("How many sacks did the field give this year?", "a + b"),
            ("How many of this year's sacks did {A} [keep|store]?", "( a + b ) - c"),
            ("How many pounds did the sacks that {A} sold weigh?", "c * d"),
            ("How many pounds did last year's sacks weigh?", "a * d"),
            ("How many sacks did the field give in the two years?", "a + ( a + b )"),
        ),
        small="d",
        enough="( a + b ) - c",
    ),
    Story(
        "A doctor saw {a} patients on {day}. {b} of them had a cold, {c} had a broken [arm|leg|finger], and the "
        "others came for a checkup. On {day2}, the doctor saw {d} patients.",
        (
            ("How many patients came for a checkup on {day}?", "( a - b ) - c"),
            ("How many of the patients on {day} did not have a cold?", "a - b"),
            ("On {day}, how many more patients had a cold than a broken bone?", "b - c"),
            ("How many patients did the doctor see on the two days?", "a + d"),
            ("How many fewer patients did the doctor see on {day2} than on {day}?", "a - d"),
            (
                "Nobody had a cold on {day2}. How many patients without a cold did the doctor see on the two days?",
                "( a - b ) + d",
            ),
        ),
        ("cb", "da"),
        enough="( a - b ) - c",
    ),
    Story(
        "A [cartoon|series|show] has {a} episodes of {d} minutes each. {A} [watched|saw] {b} of them last week and "
        "{c} [more|other ones] this week.",
        (
            ("How many episodes has {A} [watched|seen] so far?", "b + c"),
            ("How many episodes had {A} not yet [watched|seen] at the end of last week?", "a - b"),
            ("How many minutes did {A} watch last week?", "b * d"),
            ("How many minutes did {A} watch this week?", "c * d"),
            ("How many minutes did {A} watch in the two weeks?", "( b + c ) * d"),
            ("How many episodes are left [for {him} to watch|] after this week?", "( a - b ) - c"),
        ),
        small="bcd",
        enough="( 60 - a ) * ( ( a - b ) - c )",
    ),
    Story(
        "A beekeeper filled {a} jars with honey in spring, {b} in summer and {c} in fall. The beekeeper sold {d} of "
        "the summer jars.",
        (
            ("How many of the jars from summer are left?", "b - d"),
            ("How many jars did the beekeeper fill in spring and summer?", "a + b"),
            ("How many jars did the beekeeper fill in spring and fall?", "a + c"),
            ("How many more jars were filled in summer than in fall?", "b - c"),
            ("How many jars of summer and fall honey are left?", "( b - d ) + c"),
            ("How many jars were filled in the whole year if none were filled in winter?", "( a + b ) + c"),
        ),
        ("db", "cb"),
    ),
    Story(
        "On {day}, a [stall|flower shop] sold {a} [roses|tulips|lilies] and had {b} left in the evening. On {day2}, "
        "it got {c} fresh ones [from a gardener|in the morning|] and sold {d}.",
        (
            ("How many flowers did it have on {day} before it sold any?", "a + b"),
            ("How many flowers did it have on {day2} before it sold any that day?", "b + c"),
            ("How many flowers did it sell on the two days?", "a + d"),
            ("How many flowers did it have [left|] at the end of {day2}?", "( b + c ) - d"),
        ),
        enough="( b + c ) - d",
    ),
)
