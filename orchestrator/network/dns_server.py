"""The node's name server: listens at this node's address on every network and answers the containers there.

What it knows is replaced whole with each configuration, between two questions: no answer mixes revisions, and once
`apply` has returned none is older. It never ends on what clients send: garbage is refused or dropped, and connections,
questions under way, sizes and waits have limits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.task import Task
from orchestrator.network.dns_forwarding import DNS_PORT, Forwarder
from orchestrator.network.dns_messages import (
    MAX_QUERY_BYTES,
    MAX_STREAM_BYTES,
    Malformed,
    Question,
    read_question,
    truncated,
    write_answer,
    write_failure,
)
from orchestrator.network.dns_rules import NameTable, Outcome
from orchestrator.network.dns_slots import Slots

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 128
MAX_CONNECTIONS_OF_ONE = 16
"""Of one client: it keeps them as long as it goes on asking, and others need theirs for long answers."""
IDLE_DEADLINE_S = 10.0
"""Of a connection: for the next question to come, whole, and for an answer to be taken."""
RETRY_INTERVAL_S = 5.0
"""Before it tries again to listen where it could not: another server of the node's may have had the port."""

Exchange = Callable[[bytes, str], Awaitable[bytes | None]]
"""(message, address of the asker) -> the reply, if there is to be one."""


class NameServer:
    """Serves what the last applied configuration says.

    `forwarder` knows the outside. One that cannot listen says so in the log and goes on trying: a server that is not
    there gives no stale answers, so a node need not hold the cluster's changes back for it.
    """

    def __init__(
        self,
        forwarder: Forwarder,
        *,
        port: int = DNS_PORT,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_of_one: int = MAX_CONNECTIONS_OF_ONE,
        idle_deadline_s: float = IDLE_DEADLINE_S,
        retry_interval_s: float = RETRY_INTERVAL_S,
    ) -> None:
        self._forwarder = forwarder
        self._port = port
        self._retry_interval_s = retry_interval_s
        self._connections = _Connections(Slots(max_connections, max_connections_of_one), idle_deadline_s)
        self._table = NameTable(NetworkConfiguration())
        self._gateways: dict[str, str] = {}
        """Where to listen, by network id."""
        self._listeners: dict[str, _Listener] = {}
        """By network id."""
        self._turn = asyncio.Lock()
        """One change of the listeners at a time."""
        self._retry: asyncio.Task[None] | None = None
        self._forwarding: set[asyncio.Task[None]] = set()

    async def apply(self, configuration: NetworkConfiguration, *, not_carried: Collection[str] = ()) -> None:
        """Answer by this configuration from now on, at exactly its gateways, less those of networks not carried."""
        self._table = NameTable(configuration)
        self._gateways = {
            network_id: gateway for network_id, gateway in self._table.gateways.items() if network_id not in not_carried
        }
        await self._listen_where_wanted()
        if self._is_wanting and self._retry is None:
            self._retry = asyncio.get_running_loop().create_task(self._try_again())

    @property
    def _is_wanting(self) -> bool:
        """Whether it should listen where it does not."""
        return not self._gateways.keys() <= self._listeners.keys()

    async def _try_again(self) -> None:
        try:
            while self._is_wanting:
                await asyncio.sleep(self._retry_interval_s)
                await self._listen_where_wanted()
        finally:
            self._retry = None

    async def _listen_where_wanted(self) -> None:
        async with self._turn:
            for network_id, listener in list(self._listeners.items()):
                if self._gateways.get(network_id) != listener.gateway:
                    del self._listeners[network_id]
                    listener.close()
            for network_id, gateway in list(self._gateways.items()):
                if network_id not in self._listeners:
                    await self._listen(network_id, gateway)

    async def close(self) -> None:
        """Stop listening and drop what is under way."""
        self._gateways = {}
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        under_way = [*self._forwarding, *self._connections.tasks, *([self._retry] if self._retry else [])]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def nameservers_of(self, task: Task) -> tuple[str, ...]:
        """Where the task's container asks: this node's gateways on its networks, in their order."""
        gateways = self._table.gateways
        return tuple(gateways[a.network_id] for a in task.attachments if a.network_id in gateways)

    async def _listen(self, network_id: str, gateway: str) -> None:
        loop = asyncio.get_running_loop()

        async def on_message(data: bytes, source: str) -> bytes | None:
            return await self._exchange(network_id, data, source)

        try:
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self, network_id), local_addr=(gateway, self._port)
            )
            try:
                server = await asyncio.start_server(
                    lambda reader, writer: self._connections.serve(reader, writer, on_message),
                    gateway,
                    self._port,
                    limit=MAX_QUERY_BYTES,
                )
            except OSError:
                datagrams.close()
                raise
        except OSError as error:
            logger.error("no names at %s: %s", gateway, error, extra={"network_id": network_id})
            return
        self._listeners[network_id] = _Listener(gateway, datagrams, server)

    def answer_datagram(
        self, network_id: str, data: bytes, source: tuple[str, int], send: Callable[[bytes], None]
    ) -> None:
        """Send the reply at once when it is ours to give, else when the outside has answered."""
        try:
            question = read_question(data)
        except Malformed as malformed:
            logger.debug("malformed question from %s: %s", source[0], malformed)
            if malformed.reply is not None:
                send(malformed.reply)
            return
        reply = self._own_reply(network_id, question, source[0], question.max_datagram_bytes)
        if reply is not None:
            send(reply)
            return

        async def forward() -> None:
            answered = await self._forwarded(network_id, question, source[0], stream=False)
            # The resolver knows what the client takes, but a datagram of ours is never longer than this.
            send(answered if len(answered) <= question.max_datagram_bytes else truncated(question))

        task = asyncio.get_running_loop().create_task(forward())
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def _exchange(self, network_id: str, data: bytes, source: str) -> bytes | None:
        try:
            question = read_question(data)
        except Malformed as malformed:
            return malformed.reply
        reply = self._own_reply(network_id, question, source, MAX_STREAM_BYTES)
        return reply or await self._forwarded(network_id, question, source, stream=True)

    def _own_reply(self, network_id: str, question: Question, source: str, max_bytes: int) -> bytes | None:
        asker = self._table.asker(source, network_id)
        answer = self._table.answer(asker, question.name, question.record_type)
        if answer.outcome is Outcome.OUTSIDE:
            return None
        if answer.outcome is Outcome.NO_WAY_OUT:
            return write_failure(question)
        return write_answer(question, answer, max_bytes=max_bytes)

    async def _forwarded(self, network_id: str, question: Question, source: str, *, stream: bool) -> bytes:
        nameservers = self._table.asker(source, network_id).nameservers
        avoid: Sequence[str] = tuple(self._table.gateways.values())
        reply = await self._forwarder.ask(question, source, nameservers, avoid, stream=stream)
        return write_failure(question) if reply is None else reply


@dataclass(frozen=True, slots=True)
class _Listener:
    gateway: str
    datagrams: asyncio.DatagramTransport
    server: asyncio.Server

    def close(self) -> None:
        self.datagrams.close()
        self.server.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer, network_id: str) -> None:
        self._server = server
        self._network_id = network_id
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.answer_datagram(self._network_id, data, addr, lambda reply: self._send(reply, addr))

    def error_received(self, exc: Exception) -> None:
        # An asker that has gone: the kernel says so at our next datagram.
        logger.debug("a reply did not arrive: %s", exc)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, addr)


class _Connections:
    """Clients that ask over TCP (RFC 7766): one question after the other, until they have no more."""

    def __init__(self, slots: Slots, idle_deadline_s: float) -> None:
        self._slots = slots
        """Held by clients' addresses."""
        self._idle_deadline_s = idle_deadline_s
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange) -> None:
        """Answer a client until it hangs up, falls silent, or sends what is no question."""
        task = asyncio.current_task()
        assert task is not None
        client = str(writer.get_extra_info("peername")[0])
        if not self._slots.take(client):
            writer.close()
            return
        self.tasks.add(task)
        try:
            await self._converse(reader, writer, exchange, client)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            logger.debug("a client's connection ended: %r", error)
        finally:
            self.tasks.discard(task)
            self._slots.give_back(client)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange, source: str
    ) -> None:
        while True:
            async with asyncio.timeout(self._idle_deadline_s):
                length = int.from_bytes(await reader.readexactly(2), "big")
                if length > MAX_QUERY_BYTES:
                    return
                data = await reader.readexactly(length)
            reply = await exchange(data, source)
            if reply is None:
                return
            writer.write(len(reply).to_bytes(2, "big") + reply)
            async with asyncio.timeout(self._idle_deadline_s):
                await writer.drain()
