"""The documents for users, taken apart: their examples, links, inline code and tables."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))


@dataclasses.dataclass(frozen=True)
class Example:
    """A fenced block: `language` is what stands behind the fence, `line` where the block begins."""

    path: Path
    line: int
    language: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path.stem}-{self.line}"

    @property
    def is_module(self) -> bool:
        """Whether it is a Python file as it stands, and not a piece of a test."""
        return any(isinstance(each, ast.FunctionDef | ast.ClassDef) for each in ast.parse(self.source).body)


@functools.cache
def tokens(path: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8")))


def examples(language: str) -> list[Example]:
    """All examples in a language."""
    return [
        Example(path, token.map[0] + 1, language, token.content)
        for path in DOCUMENTS
        for token in tokens(path)
        if token.type == "fence" and token.map and token.info.strip() == language
    ]


def languages() -> set[str]:
    return {token.info.strip() for path in DOCUMENTS for token in tokens(path) if token.type == "fence"}


def commands() -> list[tuple[Example, str]]:
    """What the console examples tell to type, without prompts and comments."""
    return [
        (example, re.sub(r"\s+# .*", "", line.removeprefix("$ ")).strip())
        for example in examples("console")
        for line in example.source.splitlines()
        if line.startswith("$ ")
    ]


def inline(path: Path, kind: str) -> Iterator[Token]:
    """The inline tokens of a kind, such as `code_inline` or `link_open`."""
    for token in tokens(path):
        yield from (child for child in token.children or () if child.type == kind)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    every = tokens(path)
    headings = (every[place + 1].content for place, token in enumerate(every) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def first_column(path: Path, heading: str) -> list[str]:
    """The code in the first cells of the tables whose first heading is this."""
    found: list[str] = []
    is_wanted = False
    row: list[str] = []
    for token in tokens(path):
        if token.type == "table_open":
            is_wanted = False
        elif token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token.content)
        elif token.type == "thead_close":
            is_wanted = row[:1] == [heading]
        elif token.type == "tr_close" and is_wanted:
            found += re.findall(r"`([^`]+)`", row[0])
    return found
