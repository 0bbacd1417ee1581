"""A manager's port as the network sees it, on 127.0.0.1, and every kind of visitor."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator import clock
from orchestrator.api.app import create_app
from orchestrator.manager import authority, secret_vault
from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.manager import Manager
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec, NodeState, Reachability
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import FakeEngineClient, FakeLifecycle
from orchestrator.testing.memory_store import MemoryStore

CLUSTER = authority.found("c1", ClusterSpec(), clock.now())
FOREIGN = authority.found("c1", ClusterSpec(), clock.now())
"""Of the same name: only the authority differs."""


def issued(node_id: str, role: NodeRole, cluster: Cluster = CLUSTER, at: float | None = None) -> NodeIdentity:
    """A certificate; the holder trusts the cluster under attack whoever signed it."""
    own = authority.issue(cluster, node_id, role, clock.now() if at is None else at)
    return replace(own, ca_pem=CLUSTER.ca_certificate)


def self_signed(node_id: str, role: NodeRole) -> NodeIdentity:
    """A certificate that says all that a node's does, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    unit = {NodeRole.MANAGER: "swarm-manager", NodeRole.WORKER: "swarm-worker"}[role]
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "c1"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, node_id),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return NodeIdentity(node_id, role, pem, key_pem.decode(), CLUSTER.ca_certificate, "c1")


@dataclass
class Port:
    """The port and what is behind it."""

    manager: Manager
    store: MemoryStore
    number: int = 0

    async def add(self, node_id: str, role: NodeRole, address: str = "10.1.0.9") -> None:
        """Let a node be a member."""
        node = Node(node_id, NodeSpec(role), NodeDescription(node_id), address, role=role, state=NodeState.READY)
        if role is NodeRole.MANAGER:
            node = replace(node, reachability=Reachability.REACHABLE)
        await self.store.propose((act.AddNode(node),))


@contextlib.asynccontextmanager
async def served(*, is_leader: bool = True) -> AsyncIterator[Port]:
    """A manager "m1" of a cluster, listening."""
    store = MemoryStore(clock=clock.now)
    own = issued("m1", NodeRole.MANAGER)
    found: list[Manager] = []

    async def unused(_: str) -> None:
        raise AssertionError("nobody may come so far")

    serving, connecting = authority.server_context(own), authority.client_context(own)
    api: web.Application = create_app(FakeLifecycle(), lambda: found[0], FakeEngineClient(), forwards=False)
    manager = Manager(
        store,
        server_tls=lambda: serving,
        client_tls=lambda: connecting,
        secrets_key=secret_vault.new_key(),
        add_raft_member=unused,
        remove_raft_member=unused,
        voters=tuple,
        api=api,
    )
    found.append(manager)
    port = Port(manager, store)
    await store.propose((act.CreateCluster(CLUSTER),))
    await port.add("m1", NodeRole.MANAGER, "10.1.0.1")
    if not is_leader:
        store.depose()
    await manager.start("127.0.0.1", 0)
    port.number = manager.port
    try:
        yield port
    finally:
        await manager.close()


def stranger() -> ssl.SSLContext:
    """Knows the root, shows nothing."""
    return authority.anonymous_context(CLUSTER.ca_certificate)


async def hung_up(reader: asyncio.StreamReader, deadline: float) -> bool:
    """Whether the other end closes within so many seconds."""
    try:
        async with asyncio.timeout(deadline):
            while await reader.read(65536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
