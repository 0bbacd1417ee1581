"""A user's regular expression, run only where it cannot run for long.

The engine matches names by Go's regular expressions, which take linear time. Python's may take time exponential in the
text, so those are refused that could: a repeated group, or more than a few choices one after another. Pure.
"""

import re
from dataclasses import dataclass

MAX_PATTERN_LENGTH = 1024
MAX_CHOICES = 3
"""Repetitions and alternatives: each may multiply the time by the length of the text, which is a name or an id."""

_ESCAPED = re.compile(r"\\.|\[\^?\]?[^\]\\]*(?:\\.[^\]\\]*)*\]", re.DOTALL)
"""What stands for one character: nothing in it is an operator."""
_CHOICE = re.compile(r"[*+?|{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


class TooComplex(ValueError):
    """The pattern might take for ever."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One value of a filter that takes regular expressions."""

    text: str
    compiled: re.Pattern[str] | None
    """None for what is no expression: it is equal or it is not."""

    def is_in(self, name: str) -> bool:
        """Whether the name is the pattern's text, or the expression is found in it."""
        return name == self.text or (self.compiled is not None and self.compiled.search(name) is not None)


def pattern_of(text: str) -> Pattern:
    """The pattern. Raises `TooComplex`."""
    if len(text) > MAX_PATTERN_LENGTH:
        raise TooComplex("it is too long")
    operators = _ESCAPED.sub("x", text)
    if _REPEATED_GROUP.search(operators) or len(_CHOICE.findall(operators)) > MAX_CHOICES:
        raise TooComplex("it repeats a group, or has more than a few alternatives")
    try:
        return Pattern(text, re.compile(text))
    except (re.error, OverflowError, RecursionError):
        return Pattern(text, None)
