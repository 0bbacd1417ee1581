"""Raft's log matching as the paper has it (figure 2, AppendEntries, steps 3 to 5), which PySyncObj shortens.

PySyncObj deletes everything after `prevLogIdx` without comparing terms, and its leader sends entries again that are
only not acknowledged yet. So a follower deletes entries it has acknowledged and applied, and gets them back by the same
message, or, when they do not fit into it, by a later one: a leader that dies in between takes committed entries along.
Here a message is cut down to what the follower lacks before PySyncObj sees it. Pure functions.
"""

from collections.abc import Callable, Mapping
from typing import Any

Entry = tuple[bytes, int, int]
"""(command, index, term)."""
TermAt = Callable[[int], int | None]
"""Term of the follower's entry with that index; None when it has none."""


HEARD: Mapping[str, Any] = {"type": "next_node_idx", "next_node_idx": 0, "reset": False, "success": False}
"""An answer that says nothing of the log."""


def trim(message: Mapping[str, Any], term_at: TermAt) -> Mapping[str, Any]:
    """The `append_entries` message without the entries at its front that the follower has already."""
    previous, entries = message["prevLogIdx"], message["entries"]
    if term_at(previous) != message["prevLogTerm"]:
        return message
    known = 0
    while known < len(entries) and term_at(entries[known][1]) == entries[known][2]:
        known += 1
    if not known:
        return message
    _, index, term = entries[known - 1]
    return {**message, "prevLogIdx": index, "prevLogTerm": term, "entries": entries[known:]}


def covers_less_than_known(message: Mapping[str, Any], term_at: TermAt) -> bool:
    """Whether a trimmed message brings nothing and ends before the follower's log does: then nothing conflicts."""
    previous = message["prevLogIdx"]
    matches = term_at(previous) == message["prevLogTerm"]
    return matches and not message["entries"] and term_at(previous + 1) is not None


def sign_of_life(message: Mapping[str, Any], commit_index: int) -> Mapping[str, Any]:
    """The message without entries or snapshot: PySyncObj then leaves the log alone.

    `commit_index` must go no further than what is known to match the leader's log.
    """
    dropped = ("prevLogIdx", "prevLogTerm", "entries", "serialized")
    kept = {key: value for key, value in message.items() if key not in dropped}
    return {**kept, "commit_index": commit_index}


def acknowledgement(index: int) -> Mapping[str, Any]:
    """What the follower answers when it has all up to this index."""
    return {"type": "next_node_idx", "next_node_idx": index + 1, "reset": False, "success": True}


def is_old_snapshot(message: Mapping[str, Any], term_at: TermAt) -> bool:
    """Whether the `append_entries` message is a piece of a snapshot that ends where the follower's log matches it.

    PySyncObj would throw away what the follower has behind it.
    """
    return "last_index" in message and term_at(message["last_index"]) == message["last_term"]
