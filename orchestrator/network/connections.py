"""Looks at the sockets of a task through `/proc`: the shell around `connections_rules`.

It reads the tables of the namespace a process lives in and never enters it or connects to it.
"""

import asyncio
import errno
from pathlib import Path

from orchestrator.network.connections_rules import (
    TcpSocket,
    accepts_on,
    count_under_way,
    listening_ports,
    parse_sockets,
)

_TABLES = ("tcp", "tcp6")
_PROCESS_ENDED = (errno.ENOENT, errno.ESRCH, errno.EINVAL)
"""What reading the table of an ended process says; EINVAL while its parent has not waited for it."""
_MAX_REMEMBERED = 4096
"""Processes whose ports are remembered; far above what a node runs, and the oldest are dropped."""


class NamespaceConnections:
    """`interfaces.Connections` of the machine's own processes. A process that has ended has no connections."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._served: dict[int, frozenset[int]] = {}
        """Ports seen listened on, by process id: a server that closed its door may still be answering."""

    async def accepts(self, process_id: int, port: int | None = None) -> bool:
        """Whether something in the namespace of that process accepts TCP connections from outside on the port.

        With no port: on any.
        """
        return accepts_on(await self._sockets(process_id), port)

    async def open_count(self, process_id: int) -> int:
        """Connections from outside to servers in the namespace of that process, unread answers included."""
        sockets = await self._sockets(process_id)
        return count_under_way(sockets, self._served.get(process_id, ()))

    async def _sockets(self, process_id: int) -> list[TcpSocket]:
        sockets = await asyncio.to_thread(self._read, process_id)
        self._remember(process_id, sockets)
        return sockets

    def _remember(self, process_id: int, sockets: list[TcpSocket]) -> None:
        before = self._served.pop(process_id, frozenset())
        if not sockets:
            return
        self._served[process_id] = before.union(listening_ports(sockets))
        if len(self._served) > _MAX_REMEMBERED:
            del self._served[next(iter(self._served))]

    def _read(self, process_id: int) -> list[TcpSocket]:
        tables = (self._read_table(self._proc / str(process_id) / "net" / name) for name in _TABLES)
        return [socket for table in tables for socket in parse_sockets(table)]

    def _read_table(self, path: Path) -> str:
        try:
            return path.read_text("ascii")
        except OSError as error:
            if error.errno not in _PROCESS_ENDED:
                raise
            return ""
