"""Stories of counts that grow and shrink: what is at the beginning, what is at the end, or what changed is asked."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "The [school|town|village] library had {a} novels and {b} comics on its shelves. On {day}, readers borrowed "
        "{c} [of the novels|novels] and brought back {d} comics.",
        (
            ("How many novels were on the shelves after {day}?", "a - c"),
            ("How many comics were on the shelves after {day}?", "b + d"),
            ("What was the total number of novels and comics on the shelves before {day}?", "a + b"),
            ("How many more novels were borrowed than comics were brought back?", "c - d"),
            ("How many more novels than comics did the library have on its shelves at first?", "a - b"),
            (
                "If no comics had been brought back, how many novels and comics would be on the shelves?",
                "( a - c ) + b",
            ),
            ("If nothing had been borrowed, how many novels and comics would be on the shelves now?", "( a + b ) + d"),
        ),
        less=("ca",),
    ),
    Story(
        "There were {a} passengers on a [bus|tram|ferry]. At the first stop, {b} of them got off and nobody got on. "
        "At the second stop, {c} [people|passengers] got on and nobody got off. Every passenger paid ${d} for a "
        "ticket.",
        (
            ("How many passengers were on board between the two stops?", "a - b"),
            ("How many passengers were on board after the second stop?", "( a - b ) + c"),
            ("How many more people got on at the second stop than got off at the first?", "c - b"),
            ("How many more people got off at the first stop than got on at the second?", "b - c"),
            ("How much did those who got on at the second stop pay in all?", "c * d"),
            ("How many people bought a ticket in all?", "a + c"),
            ("How much did all passengers pay in total?", "( a + c ) * d"),
        ),
        less=("ba",),
        small="d",
    ),
    Story(
        "Some children were [playing in the park|skating on the lake|at the swimming pool]. [Then|After an hour|At "
        "noon], {a} of them went home, and {b} stayed. {c} of those who stayed were wearing red caps.",
        (
            ("How many children were there at first?", "a + b"),
            ("How many of the children who stayed were not wearing red caps?", "b - c"),
            ("How many more children went home than stayed?", "a - b"),
            ("How many fewer children went home than stayed?", "b - a"),
            ("If {d} of the children come back, how many children will be there?", "b + d"),
        ),
        less=("cb", "da"),
    ),
    Story(
        "{A} had {a} points [in a computer game|in a board game|on a quiz show]. In the next round {he} won {b} "
        "points, and in the last round {he} lost {c} points. {B} [ended the game with {d} points|had {d} points at "
        "the end].",
        (
            ("How many points did {A} have at the end?", "( a + b ) - c"),
            ("How many points did {A} have just before {he} lost some?", "a + b"),
            ("By how many points did {A}'s score rise in these two rounds?", "b - c"),
            ("By how many points did {A}'s score fall in these two rounds?", "c - b"),
            ("How many more points did {B} have at the end than {A} had before the two rounds?", "d - a"),
            ("If {A} had not lost any points, by how many points would {he} have beaten {B}?", "( a + b ) - d"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "{A} bought {a} eggs and broke {b} of them on the way home. {He} used {c} eggs for a cake and boiled {d} "
        "eggs for [breakfast|a picnic|a salad].",
        (
            ("How many whole eggs did {A} bring home?", "a - b"),
            ("How many eggs did {A} use in the kitchen?", "c + d"),
            ("If {A} had boiled no eggs, how many whole eggs would be left?", "( a - b ) - c"),
            ("How many more eggs did {A} use for the cake than {he} boiled?", "c - d"),
            ("How many more eggs were boiled than broken on the way?", "d - b"),
            ("How many more eggs were broken on the way than boiled?", "b - d"),
        ),
        enough="( ( a - b ) - c ) - d",
    ),
    Story(
        "[During|At] the [party|school fair|wedding], {c} red balloons popped and {d} yellow balloons flew away. [In "
        "the evening|At the end], {a} red and {b} yellow balloons were left.",
        (
            ("How many red balloons were there at [first|the beginning]?", "a + c"),
            ("How many yellow balloons were there at [first|the beginning]?", "b + d"),
            ("How many balloons were left in all?", "a + b"),
            ("How many balloons were lost altogether?", "c + d"),
            ("How many more red balloons than yellow balloons were left?", "a - b"),
            ("How many more balloons popped than flew away?", "c - d"),
            ("If no balloon had popped, how many balloons would have been left?", "( a + b ) + c"),
            ("If no balloon had flown away, how many balloons would have been left?", "( a + b ) + d"),
        ),
    ),
    Story(
        "{A} had ${a} in a piggy bank. {His} [aunt|uncle|grandmother] gave {him} ${b}, and then {he} spent ${c} on "
        "[a book|a game|a shirt]. A {goal} costs ${d}.",
        (
            ("How much money does {A} have now?", "( a + b ) - c"),
            ("How much money did {A} have before {he} spent anything?", "a + b"),
            ("Before {A} was given any money, how much was {he} short of the price of the {goal}?", "d - a"),
            ("How much more money did {A} get than {he} spent?", "b - c"),
            ("How much more money did {A} spend than {he} was given?", "c - b"),
            ("Before {A} spent anything, how much more money did {he} need for the {goal}?", "d - ( a + b )"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "A zoo had {a} penguins and {d} seals. Some of the penguins were [moved|sent|sold] to another zoo, so that "
        "{b} penguins were left. After that, {c} [chicks hatched|young penguins were born].",
        (
            ("How many penguins [left|went away from] the zoo?", "a - b"),
            ("How many penguins [are there now|does the zoo have in the end]?", "b + c"),
            ("How many penguins and seals did the zoo have at first?", "a + d"),
            ("How many more penguins than seals were there at first?", "a - d"),
            ("When the penguins had been taken away, how many more seals than penguins were there?", "d - b"),
            ("If no penguin had gone to another zoo, how many penguins would there be now?", "a + c"),
            ("By how many is the number of penguins lower now than at first?", "( a - b ) - c"),
            ("How many penguins and seals does the zoo have in the end?", "( b + c ) + d"),
        ),
        less=("ba",),
    ),
    Story(
        "A mail carrier [set out|started the day] with {a} letters and {b} parcels. By noon, {c} letters were "
        "delivered, and {d} parcels were still in the van.",
        (
            ("How many letters were still [to be delivered|in the van] at noon?", "a - c"),
            ("How many parcels were delivered by noon?", "b - d"),
            ("How many letters and parcels did the carrier start with?", "a + b"),
            ("How many more letters than parcels were there at the start?", "a - b"),
            ("How many letters and parcels were delivered before noon?", "c + ( b - d )"),
            ("How many letters and parcels were not yet delivered at noon?", "( a - c ) + d"),
        ),
        less=("ca", "db"),
    ),
    Story(
        "There are {a} [pupils|children] in {A}'s class. On {day}, {b} of them were ill and stayed at home, and {c} "
        "children from another class came as guests. Each child of {A}'s class has {d} schoolbooks.",
        (
            ("How many children of {A}'s class were at school on {day}?", "a - b"),
            ("How many children sat in {A}'s classroom on {day} with the guests?", "( a - b ) + c"),
            ("If nobody had been ill, how many children would have been there with the guests?", "a + c"),
            (
                "[How many more guests than sick children were there|By how much is the number of guests higher than "
                "that of sick children]?",
                "c - b",
            ),
            ("How many schoolbooks do the children of {A}'s class have altogether?", "a * d"),
            ("How many schoolbooks do the children who were ill have?", "b * d"),
            ("How many schoolbooks do the children of {A}'s class who were not ill have?", "( a - b ) * d"),
        ),
        less=("ba",),
        small="d",
    ),
    Story(
        "In [the fall|autumn], {A} planted {a} tulip bulbs and {b} daffodil bulbs. In spring, {c} tulips came up. "
        "Mice had eaten {d} of the daffodil bulbs, and the other daffodils came up.",
        (
            ("How many tulip bulbs did not come up?", "a - c"),
            ("How many daffodils came up?", "b - d"),
            ("What is the total number of bulbs that {A} planted?", "a + b"),
            ("How many more daffodil bulbs than tulip bulbs did {A} plant?", "b - a"),
            ("How many fewer daffodil bulbs than tulip bulbs were planted?", "a - b"),
            ("How many [flowers|tulips and daffodils] came up in spring?", "c + ( b - d )"),
            ("How many of {A}'s bulbs were not eaten?", "( a + b ) - d"),
        ),
        less=("ca", "db"),
    ),
    Story(
        "In the morning, {a} cars stood in a [parking lot|garage] with {b} spaces. Before noon, {c} of these cars "
        "[drove away|left], and {d} other cars [came|arrived].",
        (
            ("How many spaces were free in the morning?", "b - a"),
            ("How many cars stood there at noon?", "( a - c ) + d"),
            ("How many more cars came than went?", "d - c"),
            ("By how many did the number of cars fall before noon?", "c - d"),
            ("How many cars from the morning were still there at noon?", "a - c"),
            ("How many different cars were there that morning?", "a + d"),
            ("If no other cars had come, how many spaces would have been free at noon?", "( b - a ) + c"),
        ),
        less=("ab", "ca"),
        enough="b - ( ( a - c ) + d )",
    ),
    Story(
        "A bakery made {a} rolls [in the night|before sunrise]. It sold {b} rolls in the morning and {c} rolls in "
        "the afternoon. A roll costs {d} cents.",
        (
            ("How many rolls did the bakery sell [altogether|all day|in both parts of the day]?", "b + c"),
            ("How many rolls were left after the morning?", "a - b"),
            ("How many rolls were [not sold|left in the evening]?", "( a - b ) - c"),
            ("How many more rolls were sold in the morning than in the afternoon?", "b - c"),
            ("How many fewer rolls were sold in the morning than in the afternoon?", "c - b"),
            ("How many cents did the bakery take for rolls in the afternoon?", "c * d"),
            ("If nobody had come in the morning, how many rolls would have been left in the evening?", "a - c"),
            ("How many cents did the bakery take for rolls that day?", "( b + c ) * d"),
        ),
        small="d",
        enough="( a - b ) - c",
    ),
    Story(
        "On {day} morning, a hospital with {d} beds had {a} patients. [During the day|Before the evening], {b} of "
        "them were sent home and {c} new patients [came|arrived].",
        (
            ("How many beds were empty on {day} morning?", "d - a"),
            ("How many patients were there in the evening?", "( a - b ) + c"),
            ("By how many did the number of patients rise [on {day}|during the day]?", "c - b"),
            ("By how many did the number of patients fall [on {day}|during the day]?", "b - c"),
            ("If no new patients had come, how many patients would have been there in the evening?", "a - b"),
            ("If nobody had been sent home, how many patients would there have been in the evening?", "a + c"),
            ("If no new patients had come, how many beds would have been empty in the evening?", "( d - a ) + b"),
        ),
        less=("ba", "ad"),
        enough="d - ( a + c )",
    ),
    Story(
        "{A} is reading a book of {a} pages. {He} read {b} pages on {day} and {c} pages on {day2}. {B} is reading a "
        "book of {d} pages.",
        (
            ("How many pages did {A} read in two days?", "b + c"),
            ("How many pages did {A} still have to read after {day}?", "a - b"),
            ("How many pages does {A} still have to read after {day2}?", "( a - b ) - c"),
            ("How many pages longer is {A}'s book than {B}'s?", "a - d"),
            ("How many fewer pages does {A}'s book have than {B}'s?", "d - a"),
            ("How many more pages did {A} read on {day2} than on {day}?", "c - b"),
            ("What is the total number of pages in the two books?", "a + d"),
        ),
        enough="( a - b ) - c",
    ),
    Story(
        "In a computer game, {A} started with {a} lives. [After the first level|After a fight with a dragon], {he} "
        "had {b} lives left. Then {he} found {c} new lives [in a treasure chest|behind a door] and {d} gold coins.",
        (
            ("[How many lives did {A} lose|What number of lives was lost]?", "a - b"),
            ("How many lives does {A} have now?", "b + c"),
            ("How many more coins than lives did {A} find?", "d - c"),
            ("If {A} had lost no lives, how many would {he} have now?", "a + c"),
            ("How many fewer lives does {A} have now than at the start?", "a - ( b + c )"),
            ("How many more lives did {A} find than {he} had lost?", "c - ( a - b )"),
        ),
        less=("ba",),
    ),
    Story(
        "{a} ducks [swam|were] on a pond. More ducks came, and then there were {b} ducks. [In the evening|Later], "
        "{c} ducks flew away. All day, {d} geese sat on the [grass|shore].",
        (
            ("How many ducks came to the pond?", "b - a"),
            ("How many ducks were [on the pond in the end|left]?", "b - c"),
            ("How many ducks and geese were there before any bird flew away?", "b + d"),
            ("At first, how many more ducks than geese were there?", "a - d"),
            ("At first, by how many was the number of ducks lower than that of the geese?", "d - a"),
            ("How many more ducks flew away than had come?", "c - ( b - a )"),
            ("How many birds were there altogether before more ducks came?", "a + d"),
            ("How many ducks and geese were there in the end?", "( b - c ) + d"),
        ),
        less=("ab", "cb"),
    ),
    Story(
        "On {day}, a shop sold {a} lamps, and a truck brought {b} new lamps. [In the evening|When the shop closed], "
        "there were {c} lamps. Each lamp cost ${d}.",
        (
            ("Find the number of lamps that were in the shop [in the morning|before the day began].", "( c - b ) + a"),
            ("By how many did the number of lamps in the shop rise on {day}?", "b - a"),
            ("By how many did the number of lamps in the shop fall on {day}?", "a - b"),
            ("How much money did the shop take for lamps on {day}?", "a * d"),
            ("If the truck had not come, how many lamps would there have been in the evening?", "c - b"),
            ("If no lamp had been sold, how many lamps would there have been in the evening?", "a + c"),
        ),
        less=("bc",),
        small="d",
    ),
    Story(
        "Last year, a [soccer|hockey|chess] club had {a} members. Then {b} of them left, some new ones joined, and "
        "now the club has {c} members. Each member pays ${d} a month.",
        (
            ("How many of last year's members stayed?", "a - b"),
            ("[How many new members joined the club|What is the number of new members]?", "c - ( a - b )"),
            ("How many more members does the club have now than last year?", "c - a"),
            ("How many members fewer than last year does the club have now?", "a - c"),
            ("How much do the members pay now in a month altogether?", "c * d"),
            ("How much did the members pay last year in a month altogether?", "a * d"),
            ("How much do the members who stayed pay in a month altogether?", "( a - b ) * d"),
        ),
        less=("ba",),
        small="d",
        enough="c - ( a - b )",
    ),
    Story(
        "{A} [baked|made] {a} cookies in the morning and {b} in the afternoon. {He} burned {c} of [them|these "
        "cookies] and put the others on plates. {B} ate {d} cookies from the plates.",
        (
            ("How many cookies did {A} [bake|make] in all?", "a + b"),
            ("How many cookies did {A} put on plates?", "( a + b ) - c"),
            ("If no cookies had been burned, how many would be on the plates in the end?", "( a + b ) - d"),
            ("How many more cookies were made in the morning than in the afternoon?", "a - b"),
            ("How many more cookies were made in the afternoon than in the morning?", "b - a"),
            ("Find how many more cookies {B} ate than {A} burned.", "d - c"),
        ),
        enough="( ( a + b ) - c ) - d",
    ),
    Story(
        "A harbor has room for {d} boats. {a} boats were there when [a storm came near|bad weather began]. More "
        "boats came in, and then there were {b}. The [wind|waves] damaged {c} of these boats.",
        (
            ("How many boats came into the harbor because of the weather?", "b - a"),
            ("How many of the boats in the harbor were not damaged?", "b - c"),
            ("For how many more boats was there room at first?", "d - a"),
            ("For how many more boats was there room after these had come?", "d - b"),
            ("If the damaged boats are taken away, for how many boats is there room?", "( d - b ) + c"),
        ),
        less=("ab", "cb", "bd"),
    ),
    Story(
        "A computer had {a} files on it. {A} [deleted|erased] some of them, and {b} files were left. Then {he} "
        "copied {c} new files onto the computer, [which took|in] {d} minutes.",
        (
            ("How many files did {A} [remove|delete]?", "a - b"),
            ("How many files are on the computer now?", "b + c"),
            ("If {A} had deleted nothing, how many files would be on the computer now?", "a + c"),
            ("By how many did the number of files on the computer go down?", "( a - b ) - c"),
            ("By how many did the number of files on the computer go up?", "c - ( a - b )"),
        ),
        less=("ba",),
        small="d",
    ),
    Story(
        "{A} spent ${a} at the {place} and lost ${b} on the way home. Now {he} has ${c}. {B} has ${d}.",
        (
            ("How much money did {A} have before {he} went to the {place}?", "( a + b ) + c"),
            ("How much less money does {A} have now than before?", "a + b"),
            ("How much money did {A} have when {he} left the {place}?", "b + c"),
            ("What is the total amount of money that {A} and {B} have now?", "c + d"),
            ("If {A} had spent nothing, how much money would {he} have now?", "a + c"),
            ("How much more money does {A} need to have as much as {B}?", "d - c"),
            ("When {A} left the {place}, how much more money than {B} did {he} have?", "( b + c ) - d"),
        ),
    ),
    Story(
        "There were {a} books on the top shelf and {b} books on the bottom shelf. {A} moved some books from the top "
        "shelf to the bottom one, and then {c} books were on the top shelf, {d} of them [about animals|with a red "
        "cover|in Spanish].",
        (
            ("How many books did {A} move?", "a - c"),
            ("How many books were on the bottom shelf in the end?", "b + ( a - c )"),
            ("How many books were on the two shelves in all?", "a + b"),
            ("At first, how many more books were on the top shelf than on the bottom shelf?", "a - b"),
            ("At first, how many more books were on the bottom shelf than on the top shelf?", "b - a"),
        ),
        less=("ca", "dc"),
    ),
)
