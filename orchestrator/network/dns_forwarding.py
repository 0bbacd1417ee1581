"""Questions about the outside: passed on to real resolvers byte for byte, and their answers back.

Each question goes out from a socket of its own, connected to one resolver: the kernel picks the port and drops what
others send. Every wait has a deadline, and the questions under way a limit for each asker and for all, so a dead
resolver costs its askers their time and nobody else's.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from orchestrator.network.dns_messages import MAX_STREAM_BYTES, Question, is_answer_to, is_failure
from orchestrator.network.dns_slots import Slots

logger = logging.getLogger(__name__)

RESOLVER_DEADLINE_S = 2.0
"""For one resolver; with three of them still within the 5 s after which clients ask again."""
MAX_RESOLVERS = 2
"""Resolvers tried for a question."""
MAX_UNDER_WAY = 256
MAX_UNDER_WAY_OF_ONE = 32
"""Of one asker: what it asks in vain must not take all the room there is."""
DNS_PORT = 53


class Forwarder:
    """Asks resolvers by their addresses. `resolvers` says which are the node's own, for askers that bring none."""

    def __init__(
        self,
        resolvers: Callable[[], Sequence[str]],
        *,
        port: int = DNS_PORT,
        deadline_s: float = RESOLVER_DEADLINE_S,
        max_under_way: int = MAX_UNDER_WAY,
        max_under_way_of_one: int = MAX_UNDER_WAY_OF_ONE,
    ) -> None:
        self._resolvers = resolvers
        self._port = port
        self._deadline_s = deadline_s
        self._under_way = Slots(max_under_way, max_under_way_of_one)
        self._refused: set[str] = set()
        """Askers of whom the log says so already: a line for each refusal would be as many as the questions."""

    async def ask(
        self, question: Question, asker: str, nameservers: Sequence[str], avoid: Sequence[str], *, stream: bool
    ) -> bytes | None:
        """The first useful answer of the asker's nameservers, or else of the node's; None when there is none.

        `asker` is its address. `avoid` are our own, which must not be asked. `stream`: over TCP, as the client asked.
        """
        if not self._under_way.take(asker):
            self._note_refused(asker)
            return None
        usable = [resolver for resolver in nameservers or self._resolvers() if resolver not in avoid]
        try:
            return await self._first_useful(question, usable[:MAX_RESOLVERS], stream=stream)
        finally:
            self._under_way.give_back(asker)
            if not self._under_way.held_by(asker):
                self._refused.discard(asker)

    def _note_refused(self, asker: str) -> None:
        own = self._under_way.held_by(asker)
        if own and asker not in self._refused:
            self._refused.add(asker)
            logger.warning("too many questions about the outside under way", extra={"asker": asker, "own": own})

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
