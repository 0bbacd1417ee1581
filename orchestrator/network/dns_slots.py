"""Room for what is under way, shared fairly: nobody takes all of it."""

from collections import Counter


class Slots:
    """`limit` at a time in all, and `limit_of_one` of each holder."""

    def __init__(self, limit: int, limit_of_one: int) -> None:
        self._limit = limit
        self._limit_of_one = limit_of_one
        self._taken: Counter[str] = Counter()

    def take(self, holder: str) -> bool:
        """Take one; False = there is none for this holder now."""
        if self._taken[holder] >= self._limit_of_one or self._taken.total() >= self._limit:
            return False
        self._taken[holder] += 1
        return True

    def give_back(self, holder: str) -> None:
        """Give back one that was taken."""
        self._taken[holder] -= 1
        if not self._taken[holder]:
            del self._taken[holder]

    def held_by(self, holder: str) -> int:
        """How many the holder has."""
        return self._taken[holder]
