"""Who gets what at the managers' port: strangers, workers, forgers, and those that were members once."""

import asyncio
import contextlib
import io
import resource
import ssl
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import msgspec
import pytest

from orchestrator import clock
from orchestrator.manager import authority
from orchestrator.manager.admission_rules import STRANGERS_PER_ADDRESS_MAX
from orchestrator.model.joining import JoinRequest
from orchestrator.model.limits import MAX_API_BODY_BYTES, MAX_JOIN_BYTES
from orchestrator.model.node import NodeDescription, NodeRole, NodeSpec, NodeState
from orchestrator.state import actions as act
from tests.unit.manager.port import CLUSTER, FOREIGN, Port, hung_up, issued, self_signed, served, stranger

DEADLINE_S = 10.0
JSON = {"Content-Type": "application/json"}
MANAGERS_PATHS = (
    ("POST", "/raft"),
    ("GET", "/api/v1.45/services"),
    ("GET", "/api/v1.45/swarm"),
    ("GET", "/api/v1.45/secrets"),
    ("GET", "/api/v1.45/networks"),
    ("GET", "/api/v1.45/info"),
    ("POST", "/api/v1.45/services/create"),
    ("GET", "/api/_ping"),
    ("GET", "/"),
    ("GET", "/session/"),
    ("GET", "//session"),
    ("POST", "/ca/../raft"),
)
MEMBERS_PATHS = (("GET", "/session"), ("POST", "/renew"), ("POST", "/leave"))
ALL_PATHS = MANAGERS_PATHS + MEMBERS_PATHS


def run(scenario: Callable[[Port], Awaitable[None]], *, is_leader: bool = True) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S), served(is_leader=is_leader) as port:
            await scenario(port)

    asyncio.run(bounded())


async def ask(port: Port, tls: ssl.SSLContext, method: str, path: str, data: bytes = b"") -> tuple[int, str]:
    (answer,) = await answers(port, tls, [(method, path)], data)
    return answer


async def answers(
    port: Port, tls: ssl.SSLContext, requests: Sequence[tuple[str, str]], data: bytes = b""
) -> list[tuple[int, str]]:
    """(status, text) for each (method, path)."""
    found = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:
        for method, path in requests:
            url = f"https://127.0.0.1:{port.number}{path}"
            body = io.BytesIO(data) if data else None
            async with http.request(method, url, data=body, headers=JSON, allow_redirects=False) as answer:
                found.append((answer.status, await answer.text()))
    return found


async def refusals(port: Port, tls: ssl.SSLContext, paths: Sequence[tuple[str, str]]) -> set[tuple[int, str]]:
    return set(await answers(port, tls, paths))


@pytest.mark.parametrize("is_leader", [True, False])
def test_a_stranger_gets_the_root_certificate_and_nothing_else(is_leader: bool) -> None:
    async def scenario(port: Port) -> None:
        assert await ask(port, stranger(), "GET", "/ca") == (200, CLUSTER.ca_certificate)
        assert await refusals(port, stranger(), ALL_PATHS) == {(403, "this takes a certificate of the swarm")}

    run(scenario, is_leader=is_leader)


@pytest.mark.parametrize("is_leader", [True, False])
def test_a_worker_is_refused_on_every_path_of_the_managers(is_leader: bool) -> None:
    async def scenario(port: Port) -> None:
        if is_leader:
            await port.add("w1", NodeRole.WORKER)
        worker = authority.client_context(issued("w1", NodeRole.WORKER))
        assert await refusals(port, worker, MANAGERS_PATHS) == {(403, "this takes a manager's certificate")}

    run(scenario, is_leader=is_leader)


def test_a_manager_is_let_in() -> None:
    async def scenario(port: Port) -> None:
        manager = authority.client_context(issued("m1", NodeRole.MANAGER))
        status, text = await ask(port, manager, "GET", "/api/v1.45/nodes")
        assert status == 200
        assert "m1" in text

    run(scenario)


@pytest.mark.parametrize(
    "forger",
    [
        issued("m1", NodeRole.MANAGER, FOREIGN),
        self_signed("m1", NodeRole.MANAGER),
        issued("m1", NodeRole.MANAGER, at=clock.now() - CLUSTER.spec.node_certificate_expiry - 60),
        issued("m1", NodeRole.MANAGER, at=clock.now() + 7200),
    ],
    ids=["another cluster's", "self-signed", "expired", "not yet valid"],
)
@pytest.mark.parametrize("path", ["/api/v1.45/secrets", "/session", "/ca"])
def test_forged_and_expired_certificates_end_the_connection(forger: authority.NodeIdentity, path: str) -> None:
    async def scenario(port: Port) -> None:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await ask(port, authority.client_context(forger), "GET", path)

    run(scenario)


def test_a_member_that_was_removed_is_refused_everywhere() -> None:
    async def scenario(port: Port) -> None:
        await port.add("gone", NodeRole.WORKER)
        await port.store.propose((act.RemoveNode("gone", force=True),))
        for role in NodeRole:
            former = authority.client_context(issued("gone", role))
            assert {status for status, _ in await refusals(port, former, ALL_PATHS)} == {403}

    run(scenario)


def test_a_manager_that_was_demoted_has_a_worker_s_rights() -> None:
    async def scenario(port: Port) -> None:
        await port.add("m2", NodeRole.MANAGER)
        node = port.store.state.node("m2")
        demotion = act.UpdateNodeSpec("m2", node.version, NodeSpec(NodeRole.WORKER))
        await port.store.propose((demotion, act.SetNodeRole("m2", NodeRole.WORKER)))
        former = authority.client_context(issued("m2", NodeRole.MANAGER))
        assert await refusals(port, former, MANAGERS_PATHS) == {(403, "this takes a manager's certificate")}
        # Not refused, but told that it sends no request: so it comes by a worker's certificate.
        assert (await ask(port, former, "POST", "/renew"))[0] == 400

    run(scenario)


def test_a_member_that_has_left_may_only_ask_again_to_leave() -> None:
    async def scenario(port: Port) -> None:
        await port.add("left", NodeRole.WORKER)
        await port.store.propose((act.BeginLeaving("left"), act.SetNodeState("left", NodeState.DOWN)))
        former = authority.client_context(issued("left", NodeRole.WORKER))
        assert (await ask(port, former, "GET", "/session"))[0] == 403
        assert (await ask(port, former, "POST", "/renew"))[0] == 403
        assert (await ask(port, former, "POST", "/leave"))[0] == 204

    run(scenario)


# Limits ----------------------------------------------------------------------------------------------------


def a_join(token: str, padding: str = "") -> bytes:
    _, request = authority.certificate_request()
    return msgspec.json.encode(JoinRequest(token, request, NodeDescription(f"host{padding}"), "10.1.0.5"))


def test_bad_tokens_are_refused_and_cost_nothing_that_lasts() -> None:
    token = authority.new_token(CLUSTER.ca_certificate)

    async def scenario(port: Port) -> None:
        url = f"https://127.0.0.1:{port.number}/join"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stranger(), limit=4)) as http:

            async def attempt() -> tuple[int, str]:
                async with http.post(url, data=a_join(token)) as answer:
                    return answer.status, await answer.text()

            answers = [answer for _ in range(20) for answer in await asyncio.gather(*(attempt() for _ in range(20)))]
        assert set(answers) == {(400, "A valid join token is necessary to join this cluster")}
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
        assert list(port.store.state.nodes) == ["m1"]

    run(scenario)


def test_a_stranger_s_request_is_small() -> None:
    async def scenario(port: Port) -> None:
        large = a_join(CLUSTER.worker_token, "x" * MAX_JOIN_BYTES)
        assert (await ask(port, stranger(), "POST", "/join", large))[0] == 413
        assert (await ask(port, stranger(), "POST", "/join", b"\xff" * 100))[0] == 400
        assert (await ask(port, stranger(), "POST", "/join", a_join(CLUSTER.worker_token)))[0] == 200

    run(scenario)


def test_a_manager_forwards_whatever_the_api_takes() -> None:
    async def scenario(port: Port) -> None:
        manager = authority.client_context(issued("m1", NodeRole.MANAGER))
        # Refused for what it says, so it has been read.
        body = b'{"Name": "x", "Data": "' + b"QUFB" * (MAX_API_BODY_BYTES // 4 - 100) + b'"}'
        status, text = await ask(port, manager, "POST", "/api/v1.45/configs/create", body)
        assert (status, "less than" in text) == (400, True)

    run(scenario)


def test_strangers_are_few_and_members_find_room_all_the_same() -> None:
    async def scenario(port: Port) -> None:
        held = [
            (await asyncio.open_connection("127.0.0.1", port.number, ssl=stranger()))[1]
            for _ in range(STRANGERS_PER_ADDRESS_MAX)
        ]
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await ask(port, stranger(), "GET", "/ca")
        # This address is a node's from now on: what comes from there is let in as far as the handshake.
        await port.add("w1", NodeRole.WORKER, "127.0.0.1")
        worker = authority.client_context(issued("w1", NodeRole.WORKER))
        assert (await ask(port, worker, "POST", "/renew"))[0] == 400
        for writer in held:
            writer.close()

    run(scenario)


@pytest.mark.parametrize(
    "data", [b"", b"\x16\x03\x01", b"\x00" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" * 1000]
)
def test_garbage_is_hung_up_on_and_the_next_is_served(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.manager.listener.HANDSHAKE_DEADLINE_S", 0.3)

    async def scenario(port: Port) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
        assert await hung_up(reader, DEADLINE_S)
        writer.transport.abort()
        assert (await ask(port, stranger(), "GET", "/ca"))[0] == 200

    run(scenario)


def test_a_stranger_that_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.manager.listener.STRANGER_LIFETIME_S", 0.3)

    async def scenario(port: Port) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number, ssl=stranger())
        assert await hung_up(reader, DEADLINE_S)
        writer.transport.abort()

    run(scenario)
