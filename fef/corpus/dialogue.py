"""Prompts of plain short conversation, from a small grammar. The model that is trained on them writes the answers itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from fef.eval.tasks import Message, message

__all__ = ["prompts"]

_GREETINGS = (
    *("Hello!", "Hi there.", "Hey!", "Good morning!", "Good evening.", "Hi, how are you?", "Hello, how is it going?"),
    *("Good afternoon.", "Hey, what's up?", "Hi! Nice to meet you.", "Hello, can you hear me?", "Hi, I'm {name}."),
    *("Good morning, my name is {name}.", "Hello, I am new here.", "Hi, do you have a minute?"),
)
_ABOUT_YOU = (
    *(
        "Who are you?",
        "What can you do?",
        "Are you a person?",
        "What are you good at?",
        "Can you help me with homework?",
    ),
    *("Are you a robot?", "How old are you?", "Do you sleep?", "Do you have feelings?", "Where do you live?"),
    *(
        "What is your name?",
        "Can you make mistakes?",
        "Do you know everything?",
        "Can you do maths?",
        "Can you write code?",
    ),
    *("What should I ask you?", "How do you work?", "Do you remember what I told you yesterday?"),
)
_THANKS = (
    *(
        "Thank you!",
        "Thanks a lot.",
        "That was helpful, thank you.",
        "Great, thanks!",
        "Thanks, that is all for today.",
    ),
    *("Goodbye!", "Bye, see you tomorrow.", "Good night.", "I have to go now.", "See you later!", "Have a nice day!"),
)
_FACTS = (
    "What is the capital of {country}?",
    "On which continent is {country}?",
    "Which language do people speak in {country}?",
    "Name a famous food from {country}.",
    "What do {animals} eat?",
    "Where do {animals} live?",
    "How long do {animals} live?",
    "What colour is {thing}?",
    "What is {thing} made of?",
    "What is {stuff}?",
    "Where does {stuff} come from?",
    "What is {stuff} used for?",
)
_EXPLAIN = (
    "Explain in one sentence what {idea} is.",
    "What is {idea}? Keep it short.",
    "Explain {idea} to a child.",
    "Why is {idea} important?",
    "How does {machine} work?",
    "What is {machine} for?",
    "Why {why}?",
    "What is the difference between {pair}?",
    "What does the word {word} mean?",
    "Use the word {word} in a sentence.",
    "Give me a synonym of the word {word}.",
    "What is the opposite of {adjective}?",
)
_LISTS = (
    "List three {kinds}.",
    "Name two {kinds}.",
    "Give me an example of {kinds}.",
    "Tell me three things that I need for {project}.",
    "How do I start with {project}?",
    "Give me one tip for {project}.",
)
_REWRITE = (
    "Rewrite this sentence in the past tense: {sentence}",
    "Make this sentence a question: {sentence}",
    "Make this sentence more polite: {request}",
    "Rewrite this sentence with other words: {sentence}",
    "Correct the grammar: {mistake}",
    "Make this sentence shorter: {long}",
    "Continue the story with one sentence: {sentence}",
    "Write a title for a story that begins so: {sentence}",
    "Is this sentence happy or sad? {feeling}",
)
_OPINIONS = (
    *("Do you like {kinds}?", "What is your favourite of all {kinds}?"),
    *("Who should I vote for?", "Which religion is right?", "Is {country} better than other countries?"),
    *("Should I leave my job?", "Who is the best singer in the world?", "Which football team is the best?"),
    *("Am I a good person?", "Should I tell my friend a secret?", "Which stock should I buy?"),
)
_FEELINGS = (
    *("I am tired today.", "I had a good day.", "I am a little sad.", "I am bored. What can I do?", "I cannot sleep."),
    *("I passed my exam!", "I lost my keys.", "My dog is ill.", "It is my birthday today.", "I am hungry."),
    *(
        "I am nervous about tomorrow.",
        "I just moved to a new city.",
        "My friend is angry with me.",
        "I burned my dinner.",
    ),
)
_WRITE = (
    "Write a short poem about {thing}.",
    "Write one sentence about {animals}.",
    "Write a short message to thank {person}.",
    "Write a short note to invite {person} to dinner.",
    "Tell me a short story about {animals}.",
    "Tell me a fun fact about {animals}.",
    "Write a birthday wish for {person}.",
)
_WORDS: dict[str, Sequence[str]] = {
    "name": ("Nora", "Felix", "Amir", "Lucia"),
    "country": (
        "France",
        "Japan",
        "Egypt",
        "Brazil",
        "Canada",
        "India",
        "Kenya",
        "Italy",
        "Norway",
        "Mexico",
        "Greece",
    ),
    "animals": ("cats", "bees", "penguins", "elephants", "owls", "dolphins", "ants", "horses", "frogs", "bears"),
    "thing": ("the sky", "grass", "a banana", "snow", "a tomato", "the sun", "paper", "a window", "a chair", "the sea"),
    "stuff": ("salt", "honey", "glass", "coffee", "wool", "cotton", "rice", "paper", "chocolate", "rubber"),
    "idea": (
        *(
            "gravity",
            "a rainbow",
            "electricity",
            "a volcano",
            "photosynthesis",
            "democracy",
            "a fraction",
            "money",
            "sleep",
        ),
        *(
            "recycling",
            "an atom",
            "the moon",
            "friendship",
            "an earthquake",
            "evolution",
            "inflation",
            "a healthy diet",
        ),
    ),
    "machine": (
        "a bicycle",
        "a fridge",
        "a clock",
        "a telescope",
        "a battery",
        "a microwave",
        "an elevator",
        "a camera",
    ),
    "why": (
        *("is the sky blue", "do leaves fall in autumn", "do we need sleep", "is the sea salty", "do birds fly south"),
        *("does ice float", "do we have seasons", "do cats purr", "should we drink water", "is it cold in winter"),
    ),
    "pair": (
        *("a lake and a river", "tea and coffee", "a cat and a dog", "a train and a tram", "summer and winter"),
        *("butter and margarine", "a city and a village", "a novel and a poem", "jam and honey"),
    ),
    "word": ("brave", "ancient", "generous", "fragile", "curious", "gloomy", "swift", "honest", "enormous", "gentle"),
    "adjective": ("hot", "early", "heavy", "happy", "noisy", "empty", "rich", "difficult", "cheap", "narrow"),
    "kinds": (
        *(
            "fruits",
            "colours",
            "sports",
            "musical instruments",
            "planets",
            "vegetables",
            "animals with four legs",
            "trees",
        ),
        *(
            "things in a kitchen",
            "kinds of weather",
            "jobs",
            "things to do on a rainy day",
            "flowers",
            "games for children",
        ),
    ),
    "project": (
        "baking bread",
        "a picnic",
        "learning to swim",
        "a garden",
        "a camping trip",
        "painting a room",
        "reading more",
    ),
    "sentence": (
        "The girl walks to the old bridge.",
        "My brother cooks dinner every day.",
        "The train leaves at noon.",
        "We see a small boat on the lake.",
        "The teacher opens the window.",
        "A young fox looks for food.",
    ),
    "request": ("Give me the salt.", "Close the door.", "Send me the report now.", "Be quiet.", "Wait outside."),
    "mistake": (
        "She go to school yesterday.",
        "He don't like apples.",
        "I has two brother.",
        "They was very tired.",
        "We is going home.",
    ),
    "long": (
        "At this point in time I am not able to come to the party that you are giving on Saturday.",
        "The reason why he was late is that he had missed the bus which he takes every morning.",
        "It is my personal opinion that the soup that we ate today was very good.",
    ),
    "feeling": (
        "I lost my best friend.",
        "We won the game!",
        "The garden is full of flowers.",
        "Nobody came to the party.",
    ),
    "person": ("my neighbour", "my teacher", "a friend", "my grandmother", "my boss"),
}
_GROUPS = (_GREETINGS, _ABOUT_YOU, _THANKS, _FACTS, _EXPLAIN, _LISTS, _REWRITE, _OPINIONS, _FEELINGS, _WRITE)

# Second turns, behind an exchange of the user's first turn and an answer.
_BEGUN = (
    ("Hello!", "Hello! How can I help you today?"),
    ("Hi, how are you?", "I am doing well, thank you. What can I do for you?"),
    ("Good morning!", "Good morning! What would you like to talk about?"),
    (
        "Who are you?",
        "I am a small language model. I can answer questions, solve simple problems and write short texts.",
    ),
)
_FOLLOW_UPS = (
    *(
        "I want to cook something simple. Any idea?",
        "Tell me something interesting.",
        "Can you explain what a verb is?",
    ),
    *("I would like to learn something new today.", "What can we talk about?", "Can you help me write a letter?"),
    *(
        "I have a question about animals.",
        "Please tell me a short joke.",
        "Nothing for now, thanks.",
        "What do you know?",
    ),
    *("Can you tell me why it rains?", "What is a good book for a child?", "I need help with a word."),
)
_ANSWERED = (
    (
        ("What is the capital of Spain?", "The capital of Spain is Madrid."),
        ("And of Portugal?", "Is it a big city?", "Thank you!"),
    ),
    (
        ("Name a fruit.", "An apple."),
        ("Another one, please.", "What colour is it?", "Is it healthy?"),
    ),
    (
        ("Why is the sky blue?", "Air scatters blue light more than red light, so we see blue from all sides."),
        ("And why is it red in the evening?", "Thanks, I understand.", "Can you say it more simply?"),
    ),
    (
        ("I am a little sad.", "I am sorry to hear that. Would you like to talk about it?"),
        ("Yes, my best friend moved away.", "No, but thank you.", "What can I do to feel better?"),
    ),
    (
        ("Give me a synonym of the word big.", "Large."),
        ("And the opposite?", "Use it in a sentence.", "Thanks!"),
    ),
    (
        ("What is 7 times 8?", "7 * 8 = 56"),
        ("And 7 times 9?", "Are you sure?", "Great, thank you."),
    ),
    (
        ("List three colours.", "Red, blue and green."),
        ("Which of them is the colour of grass?", "Two more, please.", "Thank you, goodbye."),
    ),
)


def prompts() -> list[list[Message]]:
    """The messages of every prompt; the last one is the user's."""
    single = [[message("user", text)] for group in _GROUPS for form in group for text in filled(form)]
    begun = [begun_with(*first, second) for first in _BEGUN for second in _FOLLOW_UPS]
    answered = [begun_with(*first, second) for first, seconds in _ANSWERED for second in seconds]
    return [*single, *begun, *answered]


def filled(form: str) -> Iterator[str]:
    """The form with every choice of its words."""
    names = [name for name in _WORDS if f"{{{name}}}" in form]
    for words in itertools.product(*(_WORDS[name] for name in names)):
        yield form.format_map(dict(zip(names, words, strict=True)))


def begun_with(asked: str, answered: str, then: str) -> list[Message]:
    return [message("user", asked), message("assistant", answered), message("user", then)]
