"""Admission to the cluster: what strangers ask of a manager, and what they are told."""

import asyncio
from dataclasses import replace

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from orchestrator import clock
from orchestrator.manager import authority
from orchestrator.manager.joining import Joining
from orchestrator.manager.leaving import Leaving
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.joining import JoinReply, JoinRequest
from orchestrator.model.network import Network
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeState
from orchestrator.state.actions import CreateCluster, CreateNetwork, SetNodeState
from orchestrator.testing.memory_store import MemoryStore

CLUSTER = authority.found("c1", ClusterSpec(), clock.now())


def a_request(token: str = CLUSTER.worker_token) -> JoinRequest:
    """What a node with a fresh key asks."""
    _, certificate_request = authority.certificate_request()
    return JoinRequest(token, certificate_request, NodeDescription("host"), "10.1.0.5")


async def ask(store: MemoryStore, *requests: JoinRequest) -> list[tuple[int, str]]:
    """(status, body) of each request, asked one after the other."""

    async def add_raft_member(_: str) -> None:
        raise AssertionError("nobody becomes a voter by joining alone")

    async def demote(_: Node) -> None:
        raise AssertionError("nobody was a voter here before")

    joining = Joining(
        store,
        add_raft_member=add_raft_member,
        leaving=Leaving(store, demote),
        secrets_key="key",
        manager_addresses=lambda: ("10.1.0.1:2377",),
        node_id_of=lambda _: "n1",
    )
    application = web.Application()
    application.router.add_post("/join", joining.handle_join)
    answers = []
    async with TestClient(TestServer(application)) as client:
        for request in requests:
            async with client.post("/join", data=msgspec.json.encode(request), allow_redirects=False) as answer:
                answers.append((answer.status, await answer.text()))
    return answers


async def founded() -> MemoryStore:
    store = MemoryStore(clock=clock.now)
    await store.propose((CreateCluster(CLUSTER),))
    return store


def test_a_node_is_admitted_in_the_role_of_its_token() -> None:
    async def scenario() -> None:
        store = await founded()
        worker, manager = await ask(store, a_request(), a_request(CLUSTER.manager_token))
        replies = [msgspec.json.decode(body, type=JoinReply) for _, body in (worker, manager)]
        assert [reply.role for reply in replies] == [NodeRole.WORKER, NodeRole.MANAGER]
        assert [bool(reply.secrets_key) for reply in replies] == [False, True]
        assert [store.state.node(reply.node_id).role for reply in replies] == [reply.role for reply in replies]

    asyncio.run(scenario())


def test_a_node_that_missed_the_answer_and_asks_again_makes_no_twin() -> None:
    async def scenario() -> None:
        store, request = await founded(), a_request()
        ((_, first),) = await ask(store, request)
        node_id = msgspec.json.decode(first, type=JoinReply).node_id
        assert len(node_id) == 25
        await store.propose((SetNodeState(node_id, NodeState.READY),))
        before = store.state.node(node_id)
        ((status, again),) = await ask(store, request)
        assert (status, msgspec.json.decode(again, type=JoinReply).node_id) == (200, node_id)
        assert list(store.state.nodes.values()) == [before]

    asyncio.run(scenario())


def test_another_key_is_another_node_though_all_else_is_the_same() -> None:
    async def scenario() -> None:
        store, request = await founded(), a_request()
        await ask(store, request, replace(request, certificate_request=a_request().certificate_request))
        assert len(store.state.nodes) == 2

    asyncio.run(scenario())


def test_a_key_has_one_role() -> None:
    async def scenario() -> None:
        store, request = await founded(), a_request()
        _, (status, text) = await ask(store, request, replace(request, token=CLUSTER.manager_token))
        (node_id,) = store.state.nodes
        assert (status, text) == (400, f"node {node_id} has joined as a worker")

    asyncio.run(scenario())


def test_a_refused_token_and_a_manager_that_does_not_lead() -> None:
    async def scenario() -> None:
        store = await founded()
        assert await ask(store, a_request("nonsense")) == [(400, "invalid join token")]
        store.depose()
        assert await ask(store, a_request()) == [(421, "this manager does not lead")]
        assert not store.state.nodes

    asyncio.run(scenario())


def test_a_node_that_names_no_address_is_refused() -> None:
    for address in ("", "host", "10.1.0.5; reboot", "10.1.0.5/24", "::1", "010.1.0.5"):
        store = MemoryStore(clock=clock.now)

        async def scenario(store: MemoryStore = store, address: str = address) -> None:
            await store.propose((CreateCluster(CLUSTER),))
            ((status, text),) = await ask(store, replace(a_request(), address=address))
            assert (status, text) == (400, "the node's address is not an IPv4 address")
            assert not store.state.nodes

        asyncio.run(scenario())


def test_a_node_that_a_network_would_hide_is_refused() -> None:
    async def scenario() -> None:
        store = await founded()
        await store.propose((CreateNetwork(Network("w", "webnet", "10.1.0.0/24", 4097)),))
        ((status, text),) = await ask(store, a_request())
        assert (status, text.partition(":")[0]) == (
            400,
            "the node's address 10.1.0.5 is within 10.1.0.0/24, the subnet of network webnet",
        )
        assert not store.state.nodes

    asyncio.run(scenario())
