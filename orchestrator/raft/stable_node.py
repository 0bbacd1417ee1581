"""A manager as PySyncObj's sets hold it, with a hash that is the same in every process.

PySyncObj keeps its peers in sets and sends in their order. Python salts the hash of strings per process, so with the
library's own class the same simulated seed gives another message order in every run.
"""

import zlib

from pysyncobj.node import TCPNode


class StableNode(TCPNode):  # type: ignore[misc]  # the library has no types
    """A peer known by "address:port"; equal and hashed by it."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._hash = zlib.crc32(address.encode())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TCPNode) and bool(self.id == other.id)
