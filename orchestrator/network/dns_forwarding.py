"""Questions about the outside: passed on to real resolvers byte for byte, and their answers back.

Each question goes out from a socket of its own, connected to one resolver: the kernel picks the port and drops what
others send. Every wait has a deadline and the number of questions under way a limit, so a dead resolver costs its
askers their time and nobody else's.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from orchestrator.network.dns_messages import MAX_STREAM_BYTES, Question, is_answer_to, is_failure
from orchestrator.network.dns_rules import nameservers_in

logger = logging.getLogger(__name__)

RESOLVER_DEADLINE_S = 2.0
"""For one resolver; with three of them still within the 5 s after which clients ask again."""
MAX_RESOLVERS = 2
"""Resolvers tried for a question."""
MAX_UNDER_WAY = 256
DNS_PORT = 53


def node_resolvers(path: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The resolvers this node asks itself; none when it has no such file."""
    try:
        return nameservers_in(path.read_text("utf-8", "replace"))
    except OSError as error:
        logger.warning("names outside the cluster will not be found: %s", error)
        return ()


class Forwarder:
    """Asks resolvers by their addresses. `resolvers` are the node's own, for askers that bring none."""

    def __init__(
        self,
        resolvers: Sequence[str] = (),
        *,
        port: int = DNS_PORT,
        deadline_s: float = RESOLVER_DEADLINE_S,
        max_under_way: int = MAX_UNDER_WAY,
    ) -> None:
        self._resolvers = tuple(resolvers)
        self._port = port
        self._deadline_s = deadline_s
        self._max_under_way = max_under_way
        self._under_way = 0

    async def ask(
        self, question: Question, nameservers: Sequence[str], avoid: Sequence[str], *, stream: bool
    ) -> bytes | None:
        """The first useful answer of the asker's nameservers, or else of the node's; None when there is none.

        `avoid` are our own addresses, which must not be asked. `stream`: over TCP, as the client asked.
        """
        if self._under_way >= self._max_under_way:
            logger.warning("too many questions about the outside under way", extra={"limit": self._max_under_way})
            return None
        usable = [resolver for resolver in nameservers or self._resolvers if resolver not in avoid]
        self._under_way += 1
        try:
            return await self._first_useful(question, usable[:MAX_RESOLVERS], stream=stream)
        finally:
            self._under_way -= 1

    async def _first_useful(self, question: Question, resolvers: Sequence[str], *, stream: bool) -> bytes | None:
        failure: bytes | None = None
        exchange = _exchange_stream if stream else _exchange_datagrams
        for resolver in resolvers:
            try:
                async with asyncio.timeout(self._deadline_s):
                    reply = await exchange(question, resolver, self._port)
            # ValueError: what is no address, such as an empty label, in a resolver file of the node's own.
            except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as error:
                logger.info("resolver %s gave no answer: %r", resolver, error)
                continue
            if not is_failure(reply):
                return reply
            failure = reply
        return failure


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the answer to one question."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.reply.done() and is_answer_to(self._question, data):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _exchange_datagrams(question: Question, resolver: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(question), remote_addr=(resolver, port)
    )
    try:
        transport.sendto(question.data)
        return await protocol.reply
    finally:
        transport.close()


async def _exchange_stream(question: Question, resolver: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, port, limit=MAX_STREAM_BYTES)
    try:
        writer.write(len(question.data).to_bytes(2, "big") + question.data)
        await writer.drain()
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
    if not is_answer_to(question, reply):
        raise OSError(f"resolver {resolver} answered another question")
    return reply
