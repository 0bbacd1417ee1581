"""A table of frozen objects by id, with indexes that follow every replacement, the one that takes another back too."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

NO_IDS: Collection[str] = ()


class Identified(Protocol):
    """What a table holds."""

    @property
    def id(self) -> str:
        """Unique in the cluster, and never given again."""


Item = TypeVar("Item", bound=Identified)


class Table(Generic[Item]):
    """Objects by id, in the order they came.

    An index groups their ids by keys that each object has now. Keys, and ids under a key, are in the order they came
    to be so; a key without ids is none.
    """

    def __init__(self, **keys_by_index: Callable[[Item], tuple[str, ...]]) -> None:
        self.items: dict[str, Item] = {}
        self._indexes = {name: _Index(keys) for name, keys in keys_by_index.items()}

    def ids(self, index: str, key: str) -> Collection[str]:
        """Ids of the objects that have that key in that index."""
        return self._indexes[index].ids.get(key, NO_IDS)

    def under(self, index: str, key: str) -> list[Item]:
        """The objects that have that key in that index."""
        return [self.items[item_id] for item_id in self.ids(index, key)]

    def keys(self, index: str) -> Iterator[str]:
        """All keys of an index."""
        return iter(self._indexes[index].ids)

    def replace(self, item_id: str, after: Item | None) -> Item | None:
        """Put `after` in the place of what has that id, or take it out with None; what was there, None for nothing.

        To replace once more, with what was there, takes it back; what had been taken out is then the youngest.
        """
        before = self.items.get(item_id)
        if after is not None:
            self.items[item_id] = after
        elif before is not None:
            del self.items[item_id]
        for index in self._indexes.values():
            index.follow(item_id, before, after)
        return before

    def copy(self) -> "Table[Item]":
        """A table of its own with the same objects."""
        copy: Table[Item] = Table()
        copy.items = dict(self.items)
        copy._indexes = {name: index.copy() for name, index in self._indexes.items()}
        return copy


@dataclass(slots=True)
class _Index(Generic[Item]):
    keys_of: Callable[[Item], tuple[str, ...]]
    ids: dict[str, dict[str, None]] = field(default_factory=dict)

    def follow(self, item_id: str, before: Item | None, after: Item | None) -> None:
        old = self.keys_of(before) if before is not None else ()
        new = self.keys_of(after) if after is not None else ()
        self._drop(item_id, (key for key in old if key not in new))
        for key in new:
            if key not in old:
                self.ids.setdefault(key, {})[item_id] = None

    def _drop(self, item_id: str, keys: Iterable[str]) -> None:
        for key in keys:
            del self.ids[key][item_id]
            if not self.ids[key]:
                del self.ids[key]

    def copy(self) -> "_Index[Item]":
        return _Index(self.keys_of, {key: dict(ids) for key, ids in self.ids.items()})
