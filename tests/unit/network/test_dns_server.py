"""The name server on the loopback, asked by dnspython; the outside is a resolver of the test's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.container import ContainerSpec
from orchestrator.model.names import TTL_S, NameClient, NamedService, NamedTask, NetworkNames
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import NetworkAttachment, Task
from orchestrator.network.dns_forwarding import Forwarder
from orchestrator.network.dns_messages import Malformed, read_question
from orchestrator.network.dns_server import NameServer

GATEWAY = "127.0.0.1"
INNER_GATEWAY = "127.0.0.3"
CONFINED = "127.0.0.4"
RESOLVER = "127.0.0.9"
SILENT = "127.0.0.10"
DEADLINE_S = 5.0
MANY = tuple(f"10.0.1.{number}" for number in range(1, 121))


def configuration(revision: int = 1, *, web: tuple[str, ...] = ("10.0.1.5", "10.0.1.6")) -> NetworkConfiguration:
    inner = NetworkNames(
        "net2",
        "inner",
        (NamedService("vault", "10.0.2.100", ()),),
        clients=(NameClient("t2", CONFINED, is_confined=True),),
    )
    names = NetworkNames(
        "net1",
        "webnet",
        (NamedService("many", "", MANY), NamedService("web", "10.0.1.100", web)),
        tuple(NamedTask(f"web.{n}.task", address) for n, address in enumerate(web)),
        (NameClient("t1", "127.0.0.2", (RESOLVER,)),),
    )
    networks = (
        AttachedNetwork("net1", "webnet", "10.0.1.0/24", 4097, GATEWAY),
        AttachedNetwork("net2", "inner", "10.0.2.0/24", 4098, INNER_GATEWAY, internal=True),
    )
    return NetworkConfiguration(revision, networks=networks, names=(names, inner))


def free_port() -> int:
    """A port free for UDP and TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind((GATEWAY, 0))
        return int(stream.getsockname()[1])


class Outside(asyncio.DatagramProtocol):
    """A resolver that answers what the test says, or nothing."""

    def __init__(self, code: dns.rcode.Rcode | None = dns.rcode.NOERROR) -> None:
        self.code = code
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.reply(data)
        if reply:
            self.transport.sendto(b"not what was asked for", addr)
            self.transport.sendto(reply, addr)

    def reply(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        self.asked.append(query.question[0].name.to_text())
        if self.code is None:
            return b""
        reply = dns.message.make_response(query)
        reply.set_rcode(self.code)
        if self.code == dns.rcode.NOERROR:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
        return reply.to_wire()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        reply = self.reply(data)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()
        writer.close()


class Rig:
    """A server under test, its port and the outside."""

    def __init__(self, server: NameServer, port: int, outside: Outside) -> None:
        self.server, self.port, self.outside = server, port, outside

    async def udp(
        self, name: str, kind: str = "A", *, source: str = "", at: str = GATEWAY, **options: Any
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)
        return await dns.asyncquery.udp(query, at, DEADLINE_S, self.port, source=source or None)

    async def tcp(self, name: str, kind: str = "A", *, at: str = GATEWAY) -> dns.message.Message:
        return await dns.asyncquery.tcp(dns.message.make_query(name, kind), at, DEADLINE_S, self.port)


@asynccontextmanager
async def serving(outside: Outside | None = None, *, max_under_way: int = 8, **limits: float) -> AsyncIterator[Rig]:
    """A server that has applied `configuration()`, and the outside on another address and the same port."""
    port = free_port()
    outside = outside or Outside()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: outside, local_addr=(RESOLVER, port))
    streams = await asyncio.start_server(outside.serve, RESOLVER, port)
    forwarder = Forwarder(
        lambda: (GATEWAY, RESOLVER), port=port, deadline_s=0.2, max_under_way=max_under_way, max_under_way_of_one=2
    )
    server = NameServer(forwarder, port=port, **limits)  # type: ignore[arg-type]
    await server.apply(configuration())
    try:
        yield Rig(server, port, outside)
    finally:
        await server.close()
        transport.close()
        streams.close()


def run(test: Callable[[Rig], Awaitable[None]], outside: Outside | None = None, **limits: int) -> None:
    async def body() -> None:
        async with asyncio.timeout(2 * DEADLINE_S), serving(outside, **limits) as rig:
            await test(rig)

    asyncio.run(body())


def addresses(reply: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in reply.answer for record in rrset]


def test_answers_over_udp_and_tcp() -> None:
    async def test(rig: Rig) -> None:
        for reply in (await rig.udp("web"), await rig.tcp("web")):
            assert addresses(reply) == ["10.0.1.100"]
            assert reply.answer[0].ttl == TTL_S
            assert reply.flags & dns.flags.RA
        assert (await rig.udp("6.1.0.10.in-addr.arpa", "PTR")).answer[0].to_text().endswith("web.1.task.webnet.")

    run(test)


def test_an_unknown_name_and_an_unknown_type() -> None:
    async def test(rig: Rig) -> None:
        assert (await rig.udp("nobody")).rcode() == dns.rcode.NXDOMAIN
        reply = await rig.udp("web", "AAAA")
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
        assert rig.outside.asked == []

    run(test)


def test_every_address_comes_first_now_and_then() -> None:
    async def test(rig: Rig) -> None:
        firsts = [addresses(await rig.udp("tasks.web"))[0] for _ in range(60)]
        # By chance alone one of them would be missing once in 2 ** 59 runs.
        assert sorted(set(firsts)) == ["10.0.1.5", "10.0.1.6"]

    run(test)


def test_what_is_applied_is_answered_from_then_on() -> None:
    async def test(rig: Rig) -> None:
        await rig.server.apply(configuration(2, web=("10.0.1.7",)))
        assert addresses(await rig.udp("tasks.web")) == ["10.0.1.7"]
        assert addresses(await rig.tcp("tasks.web")) == ["10.0.1.7"]

    run(test)


def test_a_network_that_is_gone_is_not_listened_on() -> None:
    async def test(rig: Rig) -> None:
        await rig.server.apply(NetworkConfiguration(2))
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await rig.tcp("web")
        await rig.server.apply(configuration(3))
        assert addresses(await rig.udp("web")) == ["10.0.1.100"]

    run(test)


@pytest.mark.parametrize(("payload", "most"), [(None, 512), (1232, 1232), (4096, 1232)])
def test_a_long_answer_is_truncated_and_whole_over_tcp(payload: int | None, most: int) -> None:
    async def test(rig: Rig) -> None:
        options: dict[str, Any] = {} if payload is None else {"use_edns": 0, "payload": payload}
        reply = await rig.udp("many", **options)
        assert reply.flags & dns.flags.TC
        assert most - 16 < len(reply.to_wire()) <= most, "as many as fit"
        assert set(addresses(reply)) < set(MANY)
        assert (reply.edns >= 0) is (payload is not None)
        assert sorted(addresses(await rig.tcp("many"))) == sorted(MANY)

    run(test)


def test_an_unknown_edns_version_is_said_to_be() -> None:
    async def test(rig: Rig) -> None:
        assert (await rig.udp("web", use_edns=1)).rcode() == dns.rcode.BADVERS

    run(test)


def test_the_outside_is_asked_over_the_same_transport() -> None:
    async def test(rig: Rig) -> None:
        assert addresses(await rig.udp("example.com")) == ["192.0.2.1"]
        assert addresses(await rig.tcp("example.org")) == ["192.0.2.1"]
        assert rig.outside.asked == ["example.com.", "example.org."]

    run(test)


def test_a_task_with_nameservers_of_its_own_has_them_asked() -> None:
    async def test(rig: Rig) -> None:
        rig.server._forwarder._resolvers = tuple
        assert (await rig.udp("example.com")).rcode() == dns.rcode.SERVFAIL
        assert addresses(await rig.udp("example.com", source="127.0.0.2")) == ["192.0.2.1"]

    run(test)


@pytest.mark.parametrize("nonsense", ["a..b", "x" * 64, "nul\0"])
def test_a_resolver_that_is_no_address_is_passed_over(nonsense: str) -> None:
    async def test(rig: Rig) -> None:
        rig.server._forwarder._resolvers = lambda: (nonsense, RESOLVER)
        assert addresses(await rig.udp("example.com")) == ["192.0.2.1"]
        assert addresses(await rig.tcp("example.com")) == ["192.0.2.1"]

    run(test)


@pytest.mark.parametrize("code", [None, dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_an_outside_that_does_not_know_is_a_failure_in_time(code: dns.rcode.Rcode | None) -> None:
    async def test(rig: Rig) -> None:
        reply = await rig.udp("example.com")
        assert reply.rcode() == (dns.rcode.SERVFAIL if code is None else code)

    run(test, Outside(code))


def test_a_name_the_outside_denies_does_not_exist() -> None:
    async def test(rig: Rig) -> None:
        assert (await rig.udp("example.com")).rcode() == dns.rcode.NXDOMAIN

    run(test, Outside(dns.rcode.NXDOMAIN))


def test_a_dead_outside_delays_nobody_else() -> None:
    async def test(rig: Rig) -> None:
        outside = [asyncio.create_task(rig.udp(f"{number}.example.com")) for number in range(4)]
        await asyncio.sleep(0)
        assert addresses(await rig.udp("web")) == ["10.0.1.100"]
        replies = await asyncio.gather(*outside)
        assert {reply.rcode() for reply in replies} == {dns.rcode.SERVFAIL}
        # No more than the limit went out; the others were refused at once.
        assert len(rig.outside.asked) <= 2

    run(test, Outside(None), max_under_way=2)


def test_what_one_asks_in_vain_takes_no_room_of_anothers() -> None:
    async def test(rig: Rig) -> None:
        rig.server._forwarder._resolvers = lambda: (SILENT,)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((SILENT, rig.port))
            in_vain = [asyncio.create_task(rig.udp(f"{number}.example.com")) for number in range(8)]
            await asyncio.sleep(0)
            # Its own nameserver answers.
            assert addresses(await rig.udp("example.com", source="127.0.0.2")) == ["192.0.2.1"]
            assert {reply.rcode() for reply in await asyncio.gather(*in_vain)} == {dns.rcode.SERVFAIL}

    run(test, max_under_way=4)


def test_what_is_confined_to_internal_networks_learns_nothing_of_the_outside() -> None:
    async def test(rig: Rig) -> None:
        for source in (CONFINED, ""):
            assert addresses(await rig.udp("vault", source=source, at=INNER_GATEWAY)) == ["10.0.2.100"]
            reply = await rig.udp("secret.example.com", source=source, at=INNER_GATEWAY)
            assert (reply.rcode(), reply.answer) == (dns.rcode.SERVFAIL, [])
        assert (await rig.tcp("secret.example.com", at=INNER_GATEWAY)).rcode() == dns.rcode.SERVFAIL
        assert rig.outside.asked == []

    run(test)


def test_one_client_has_a_limit_of_its_own() -> None:
    async def test(rig: Rig) -> None:
        writers = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection(GATEWAY, rig.port, local_addr=("127.0.0.2", 0))
            writers.append(writer)
        assert await reader.read() == b""
        assert addresses(await rig.tcp("web")) == ["10.0.1.100"]
        for writer in writers:
            writer.close()

    run(test, max_connections_of_one=1)


def test_a_silent_connection_is_ended_and_too_many_are_refused() -> None:
    async def test(rig: Rig) -> None:
        first = await asyncio.open_connection(GATEWAY, rig.port)
        second = await asyncio.open_connection(GATEWAY, rig.port)
        assert await second[0].read() == b""
        assert await first[0].read() == b""
        for _, writer in (first, second):
            writer.close()

    run(test, max_connections=1, idle_deadline_s=0)


@pytest.mark.parametrize("data", [b"", b"x", b"\xff\xff" + bytes(20), b"\x00\x0cabc"])
def test_garbage_on_a_connection_ends_it_and_nothing_else(data: bytes) -> None:
    async def test(rig: Rig) -> None:
        reader, writer = await asyncio.open_connection(GATEWAY, rig.port)
        writer.write(data)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert addresses(await rig.tcp("web")) == ["10.0.1.100"]

    run(test)


def test_garbage_in_datagrams_is_refused_or_dropped() -> None:
    async def test(rig: Rig) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for data in (b"", b"\x00" * 11, b"\x00" * 12, b"\xff" * 600, b"\x12\x34\x81" + bytes(30)):
                client.sendto(data, (GATEWAY, rig.port))
            assert addresses(await rig.udp("web")) == ["10.0.1.100"]

    run(test)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x12\x34\x01\x00\x00\x01" + bytes(6) + tail))
def test_reading_garbage_ends_in_a_question_or_malformed(data: bytes) -> None:
    reply: bytes | None = None
    try:
        read_question(data)
    except Malformed as malformed:
        reply = malformed.reply
    if reply is not None:
        assert reply[:2] == data[:2]
        assert reply[2] & 0x80


def test_a_task_asks_at_the_gateways_of_its_networks() -> None:
    async def test(rig: Rig) -> None:
        attachments = (NetworkAttachment("mesh", "10.0.0.9"), NetworkAttachment("net1", "10.0.1.9"))
        task = Task("t", "s", "web", 1, TaskSpec(ContainerSpec("x")), 1, attachments=attachments)
        assert rig.server.nameservers_of(task) == (GATEWAY,)

    run(test)


def test_a_port_that_is_taken_does_not_hold_the_node_back(caplog: pytest.LogCaptureFixture) -> None:
    async def test(rig: Rig) -> None:
        second = NameServer(Forwarder(tuple), port=rig.port, retry_interval_s=0.01)
        await second.apply(configuration(web=("10.0.1.7",)))
        assert "no names at 127.0.0.1" in caplog.text
        await rig.server.close()
        while not second._listeners:
            await asyncio.sleep(0.01)
        assert addresses(await rig.udp("tasks.web")) == ["10.0.1.7"]
        await second.close()

    run(test)


def test_nobody_listens_on_a_network_that_is_not_carried() -> None:
    async def test(rig: Rig) -> None:
        await rig.server.apply(configuration(), not_carried={"net1"})
        with pytest.raises(ConnectionRefusedError):
            await rig.tcp("web")
        await rig.server.apply(configuration())
        assert addresses(await rig.tcp("web")) == ["10.0.1.100"]

    run(test)
