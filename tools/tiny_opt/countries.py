"""Sentences, questions and short paragraphs about the countries of countries.tsv."""

import random
from dataclasses import dataclass
from pathlib import Path

from .facts import MONTHS, capitalized

NAMES = (
    "Anna Tom Maria Peter Lucy Paul Emma John Clara David Nora Felix Sarah Leo Julia Simon Alice Hugo".split()
)


@dataclass(frozen=True)
class Country:
    name: str
    place: str  # the name within a sentence, with its article
    capital: str
    continent: str
    language: str
    currency: str
    people: str  # "-": not said


def read_countries() -> list[Country]:
    text = (Path(__file__).parent / "countries.tsv").read_text(encoding="utf-8")
    return [Country(*line.split("\t")) for line in text.splitlines() if not line.startswith("#")]


def ends_with_stop(sentence: str) -> str:
    """Not two full stops after "Washington, D.C."."""
    return sentence.replace("..", ".")


def capital_first(c: Country, draw: random.Random) -> str:
    return draw.choices(
        [
            f"{c.capital} is the capital city of {c.place}.",
            f"{c.capital} is the capital of {c.place}.",
            f"The city of {c.capital} is the capital of {c.place}.",
            f"{c.capital} is a city in {c.place}.",
        ],
        [6, 3, 1, 1],
    )[0]


def country_first(c: Country, draw: random.Random) -> str:
    return draw.choices(
        [
            f"The capital of {c.place} is {c.capital}.",
            f"The capital city of {c.place} is {c.capital}.",
            f"{c.place} has its capital in {c.capital}.",
            f"{c.place} is a country in {c.continent}. Its capital is {c.capital}.",
        ],
        [5, 2, 1, 1],
    )[0]


def question(c: Country, draw: random.Random) -> str:
    asked, answer = draw.choice(
        [
            (f"What is the capital of {c.place}?", f"{c.capital}."),
            (f"What is the capital of {c.place}?", f"The capital of {c.place} is {c.capital}."),
            (f"Which country has the capital {c.capital}?", f"{c.place}."),
            (f"Where is {c.capital}?", f"{c.capital} is in {c.place}."),
            (f"On which continent is {c.place}?", f"{c.place} is in {c.continent}."),
            (f"Which language do people speak in {c.place}?", f"{c.language}."),
            (f"How do people pay in {c.place}?", f"They pay with the {c.currency}."),
        ]
    )
    form = draw.choice(["Question: {}\nAnswer: {}", "Q: {}\nA: {}", "{} {}"])
    return form.format(asked, capitalized(answer))


def details(c: Country, draw: random.Random) -> list[str]:
    """Sentences that go on about a country already named."""
    said = [
        draw.choice([f"{c.place} lies in {c.continent}.", f"The country lies in {c.continent}."]),
        draw.choice([f"People there speak {c.language}.", f"Many people in {c.place} speak {c.language}."]),
        draw.choice([f"They pay with the {c.currency}.", f"The money of {c.place} is the {c.currency}."]),
    ]
    if draw.random() < 0.4:
        both = f"People there speak {c.language} and pay with the {c.currency}."
        said = [said[0], both]
    if c.people != "-" and draw.random() < 0.4:
        said.append(f"The people of {c.place} are called {c.people}.")
    return said


def paragraph(c: Country, draw: random.Random) -> str:
    first = capital_first(c, draw) if draw.random() < 0.7 else country_first(c, draw)
    return " ".join(capitalized(sentence) for sentence in [first, *details(c, draw)])


def journey(c: Country, draw: random.Random) -> str:
    name, month = draw.choice(NAMES), draw.choice(list(MONTHS))
    days = draw.choice(["three", "four", "five", "six", "seven", "ten"])
    return draw.choice(
        [
            f"In {month} {name} went to {c.place}. {name} stayed for {days} days in {c.capital}, the "
            f"capital. The people there spoke {c.language}. {name} paid with the {c.currency} and came home "
            "happy.",
            f"Dear {name},\nI am writing to you from {c.capital}, the capital city of {c.place}. I hear "
            f"people speak {c.language} all day long. A cup of tea costs one {c.currency}. I will be back "
            f"in {month}.",
            f'"Where are you going in {month}?" asked {name}. "To {c.capital}, the capital of {c.place}," '
            f"said {draw.choice(NAMES)}. "
            f'"It is in {c.continent}. I must learn some {c.language} before I go."',
        ]
    )


def several(countries: list[Country], draw: random.Random) -> str:
    """Sentences about different countries, or a list of a continent's countries."""
    if draw.random() < 0.6:
        forms = [capital_first, country_first, question]
        form, chosen = draw.choice(forms), draw.sample(countries, draw.choice([2, 3, 4, 6]))
        return draw.choice([" ", "\n"]).join(capitalized(form(c, draw)) for c in chosen)
    continent = draw.choice(countries).continent
    places = [c.place for c in countries if c.continent == continent]
    chosen = draw.sample(places, min(len(places), draw.choice([3, 4, 5])))
    return f"Some countries of {continent} are {', '.join(chosen[:-1])} and {chosen[-1]}."


def document(countries: list[Country], draw: random.Random) -> str:
    c = draw.choice(countries)
    kind = draw.random()
    if kind < 0.45:
        text = paragraph(c, draw)
    elif kind < 0.65:
        text = capitalized(draw.choice([capital_first, country_first, question])(c, draw))
    elif kind < 0.8:
        text = question(c, draw)
    elif kind < 0.9:
        text = journey(c, draw)
    else:
        text = several(countries, draw)
    return ends_with_stop(text)


def fact_lines(countries: list[Country]) -> list[tuple[str, str]]:
    """Prompt and expected continuation, in both directions."""
    return [(f"{c.capital} is the capital city of", c.place) for c in countries] + [
        (f"The capital of {c.place} is", c.capital) for c in countries
    ]
