"""The grammar of the little world: stories, and talks with one of its animals.

What is said once stays true: a story's hero keeps name and home, a friend stays a friend, the
thing that was found is the thing that is given away; whoever talks remembers who they are.
"""

from __future__ import annotations

import random

from little_world import words as w
from little_world.pen import Options, Pen, Reader, Writer

BEGIN, STOP, USER, ASSISTANT, END = (
    "<|begin|>",
    "<|stop|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
SPECIAL = (BEGIN, STOP, USER, ASSISTANT, END)

# How a person may ask for each topic; what is free is said again in the answer.
QUESTIONS = {
    "Hello!": 4.0,
    "Who are you?": 2.0,
    "What is your name?": 2.0,
    "Where do you live?": 2.0,
    "What do you like?": 2.0,
    "Who is your friend?": 2.0,
    "What did you find?": 2.0,
    "Tell me a story.": 2.0,
    "Tell me a story about a": 3.0,
    "Goodbye!": 1.0,
}


def document(pen: Pen) -> None:
    """A story, or a talk, from begin to stop."""
    pen.say(BEGIN)
    if pen.pick({"Once upon a time": 1.0, USER: 1.0}) == USER:
        _talk(pen)
    else:
        _story(pen, None)
        pen.say(STOP)


def log_probability(text: str) -> float:
    """Return the log-probability of a document in nats.

    Raises: ParseError naming the position where the grammar would not go on so.
    """
    reader = Reader(text)
    document(reader)
    return reader.finish()


def write(rng: random.Random) -> tuple[str, float]:
    """Return a new document and its log-probability in nats."""
    writer = Writer(rng)
    document(writer)
    return writer.text, writer.log_probability


def opening_sentences(text: str) -> list[str]:
    """Return the sentences of a document by which it is held out: who somebody is and where.

    There are more than ten thousand of them, so that most that are held out are new to a model.
    """
    sentences = text.replace("|>", "|>\n").replace(". ", ".\n").replace("<|", "\n<|").split("\n")
    return [s for s in sentences if s.startswith(("Once upon a time", "I am "))]


def _story(pen: Pen, animal: str | None) -> None:
    """Go on after `Once upon a time`; `animal` is who it must be about."""
    name, home = _opening(pen, animal)
    friend: str | None = None
    thing: str | None = None
    leads = {"One day": 3.0, "In the ": 3.0, f"Then {name} met ": 3.0}
    for _ in range(3):
        lead = pen.pick({**leads, "So ": 2.0} if len(leads) < 3 else leads)
        if lead == "So ":
            break
        del leads[lead]
        if lead == "One day":
            thing = _find(pen, name)
        elif lead == "In the ":
            _walk(pen, name)
        else:
            friend = _meet(pen, name)
    else:
        pen.say("So ")
    _ending(pen, name, home, friend, thing)


def _opening(pen: Pen, animal: str | None) -> tuple[str, str]:
    pen.say(" there was ")
    _with_article(pen, w.ADJECTIVES)
    pen.say(" ")
    if animal is None:
        pen.pick(w.ANIMALS)
    else:
        pen.say(animal)
    pen.say(" called ")
    name = pen.pick(w.NAMES)
    pen.say(" who lived ")
    home = pen.pick(w.HOMES)
    pen.say(". ")
    return name, home


def _find(pen: Pen, name: str) -> str:
    pen.say(f" {name} found a ")
    colour = pen.pick(w.COLOURS)
    pen.say(" ")
    thing = pen.pick(w.THINGS)
    pen.say(" in the ")
    pen.pick(w.PLACES)
    pen.say(f". {w.pronoun(name)} was very ")
    pen.pick(w.FEELINGS)
    pen.say(". ")
    return f"{colour} {thing}"


def _walk(pen: Pen, name: str) -> None:
    pen.pick(w.TIMES)
    pen.say(f" {name} went to the ")
    pen.pick(w.PLACES)
    pen.say(" to look for ")
    food = pen.pick(w.FOODS)
    pen.say(f". {w.pronoun(name)} liked {food}. ")


def _meet(pen: Pen, name: str) -> str:
    _with_article(pen, w.ANIMALS)
    pen.say(" called ")
    friend = pen.pick(w.without(w.NAMES, name))
    pen.say(f'. "Hello, {name}!" said {friend}. "Do you want to ')
    game = pen.pick(w.GAMES)
    pen.say(f' with me?" "Yes, I want to {game} with you, {friend}!" said {name}. ')
    return friend


def _ending(pen: Pen, name: str, home: str, friend: str | None, thing: str | None) -> None:
    if friend and thing:
        pen.say(f"{name} gave the {thing} to {friend}, and they were friends. ")
    elif friend:
        pen.say(f"{name} and {friend} were friends. ")
    elif thing:
        pen.say(f"{name} took the {thing} home. ")
    else:
        pen.say(f"{name} went home. ")
    pen.say(f"{w.pronoun(name)} lived {home}. The end.")


def _talk(pen: Pen) -> None:
    """Up to three questions, none twice, to one animal that remembers; ends with stop."""
    known: dict[str, str] = {}
    left = dict(QUESTIONS)
    for turn in range(3):
        question = pen.pick(left)
        for asked in (question, *_also_asked(question)):
            left.pop(asked, None)
        _answer(pen, question, known)
        pen.say(END)
        if turn == 2 or question == "Goodbye!":
            pen.say(STOP)
            return
        if pen.pick({USER: 2.0, STOP: 1.0}) == STOP:
            return


def _also_asked(question: str) -> tuple[str, ...]:
    """`Tell me a story.` and `Tell me a story about a` are one topic."""
    return tuple(q for q in QUESTIONS if question.startswith("Tell me") and q.startswith("Tell me"))


def _answer(pen: Pen, question: str, known: dict[str, str]) -> None:
    animal: str | None = None
    if question == "Tell me a story about a":
        animal = _after_article(pen, w.ANIMALS)
        pen.say(".")
    pen.say(ASSISTANT)
    if question in ("Hello!", "Who are you?"):
        pen.say("Hello! I am " if question == "Hello!" else "I am ")
        _recall(pen, known, "name", w.NAMES)
        pen.say(" the ")
        _recall(pen, known, "adjective", w.ADJECTIVES)
        pen.say(" ")
        _recall(pen, known, "animal", w.ANIMALS)
        pen.say(" and I live ")
        _recall(pen, known, "home", w.HOMES)
        pen.say(".")
    elif question == "What is your name?":
        pen.say("My name is ")
        _recall(pen, known, "name", w.NAMES)
        pen.say(".")
    elif question == "Where do you live?":
        pen.say("I live ")
        _recall(pen, known, "home", w.HOMES)
        pen.say(".")
    elif question == "What do you like?":
        pen.say("I like ")
        pen.pick(w.FOODS)
        pen.say(" and I like to ")
        pen.pick(w.GAMES)
        pen.say(".")
    elif question == "Who is your friend?":
        pen.say("My friend is ")
        pen.pick(w.without(w.NAMES, known.get("name", "")))
        pen.say(" the ")
        pen.pick(w.ANIMALS)
        pen.say(".")
    elif question == "What did you find?":
        pen.say("I found a ")
        pen.pick(w.COLOURS)
        pen.say(" ")
        pen.pick(w.THINGS)
        pen.say(" in the ")
        pen.pick(w.PLACES)
        pen.say(".")
    elif question == "Goodbye!":
        pen.say("Goodbye! See you in the ")
        pen.pick(w.TIMES)
        pen.say(".")
    else:
        pen.say("Once upon a time")
        _story(pen, animal)


def _recall(pen: Pen, known: dict[str, str], what: str, options: Options) -> None:
    """Say what was said before, or choose and remember it."""
    if what in known:
        pen.say(known[what])
    else:
        known[what] = pen.pick(options)


def _with_article(pen: Pen, options: Options) -> str:
    """Put `a fox` or `an owl`: the article is part of the choice."""
    with_article = {f"{w.article(word)} {word}": weight for word, weight in options.items()}
    return pen.pick(with_article).split(" ", 1)[1]


def _after_article(pen: Pen, options: Options) -> str:
    """Go on after `a`: ` fox` or `n owl`."""
    rest = {f"{w.article(word)[1:]} {word}": weight for word, weight in options.items()}
    return pen.pick(rest).split(" ", 1)[1]
