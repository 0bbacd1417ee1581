"""What was written to, and when: a manager's own memory of what is worth looking at again."""

from collections.abc import Iterator


class Touched:
    """Ids by the latest write that concerned them, as a count of writes. The latest come last.

    Nothing is undone here: what is looked at in vain costs time, never correctness.
    """

    def __init__(self) -> None:
        self._writes: dict[str, int] = {}

    def mark(self, item_id: str, writes: int) -> None:
        """Say that the write of that count concerned it."""
        self._writes.pop(item_id, None)
        self._writes[item_id] = writes

    def forget(self, item_id: str) -> None:
        """Say that it is no more."""
        self._writes.pop(item_id, None)

    def since(self, writes: int) -> Iterator[str]:
        """What a write after that count concerned, the latest first."""
        for item_id in reversed(self._writes):
            if self._writes[item_id] <= writes:
                return
            yield item_id

    def copy(self) -> "Touched":
        """A memory of its own."""
        copy = Touched()
        copy._writes = dict(self._writes)
        return copy
