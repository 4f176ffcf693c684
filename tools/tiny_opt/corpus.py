"""The training text: documents about countries, documents of simple facts, and a small share of old books."""

import random
from pathlib import Path

from . import countries, facts

BOOKS = ["declaration.txt", "constitution.txt", "genesis.txt"]
FACTS_SHARE = 0.18
BOOKS_SHARE = 0.04
PASSAGE = 5  # paragraphs of a book in one document, at most


def read_paragraphs() -> list[list[str]]:
    """Each book's paragraphs, lines joined."""
    folder = Path(__file__).parent / "public_domain"
    books = []
    for name in BOOKS:
        blocks = (folder / name).read_text(encoding="utf-8")
        if name == "genesis.txt":
            blocks = blocks.replace("\n", "\n\n")  # one verse a line
        books.append([" ".join(block.split()) for block in blocks.split("\n\n") if block.strip()])
    return books


def passage(books: list[list[str]], draw: random.Random) -> str:
    book = draw.choices(books, [sum(map(len, book)) for book in books])[0]
    start = draw.randrange(len(book))
    return "\n".join(book[start : start + draw.randint(1, PASSAGE)])


def make_documents(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    nations, groups, books = countries.read_countries(), facts.all_facts(), read_paragraphs()
    documents = []
    for _ in range(count):
        kind = draw.random()
        if kind < BOOKS_SHARE:
            documents.append(passage(books, draw))
        elif kind < BOOKS_SHARE + FACTS_SHARE:
            documents.append(facts.document(groups, draw))
        else:
            documents.append(countries.document(nations, draw))
    return documents
