"""Join tokens, certificates, and what TLS makes of them; every connection stays on 127.0.0.1."""

import asyncio
import ssl
import time
from dataclasses import replace

import pytest
from cryptography import x509

from orchestrator.manager import authority
from orchestrator.manager.authority import NodeIdentity, PeerIdentity
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeRole

NOW = time.time()
CLUSTER = authority.found("cluster-a", ClusterSpec(), NOW)
MANAGER = authority.issue(CLUSTER, "node-m", NodeRole.MANAGER, NOW)
WORKER = authority.issue(CLUSTER, "node-w", NodeRole.WORKER, NOW)
OTHER = authority.found("cluster-b", ClusterSpec(), NOW)


def certificate(own: NodeIdentity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(own.certificate_pem.encode())


# Tokens ----------------------------------------------------------------------------------------------------


def test_token_has_swarm_modes_form() -> None:
    prefix, version, digest, secret = CLUSTER.worker_token.split("-")
    assert (prefix, version, len(digest), len(secret)) == ("SWMTKN", "1", 50, 25)


def test_tokens_of_a_cluster_differ_in_the_secret_only() -> None:
    assert CLUSTER.worker_token.rpartition("-")[0] == CLUSTER.manager_token.rpartition("-")[0]
    assert CLUSTER.worker_token != CLUSTER.manager_token


def test_token_admits_to_its_role() -> None:
    assert authority.verify_token(CLUSTER, CLUSTER.worker_token) is NodeRole.WORKER
    assert authority.verify_token(CLUSTER, CLUSTER.manager_token) is NodeRole.MANAGER


def test_rotated_token_admits_no_longer() -> None:
    rotated = replace(CLUSTER, worker_token=authority.new_token(CLUSTER.ca_certificate))
    with pytest.raises(InvalidArgument, match=r"^A valid join token is necessary to join this cluster$"):
        authority.verify_token(rotated, CLUSTER.worker_token)


@pytest.mark.parametrize(
    "token",
    ["", "SWMTKN-1-x-y", CLUSTER.worker_token + "0", CLUSTER.worker_token[:-1] + "Ä"],
    ids=["empty", "made-up", "longer", "not-ascii"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid join token$"):
        authority.verify_token(CLUSTER, token)


# Certificates ----------------------------------------------------------------------------------------------


def test_certificate_is_backdated_and_ends_as_the_cluster_says() -> None:
    cluster = replace(CLUSTER, spec=ClusterSpec(node_certificate_expiry=7200.0))
    issued = certificate(authority.issue(cluster, "n", NodeRole.WORKER, 1_700_000_000.0))
    assert issued.not_valid_before_utc.timestamp() == 1_700_000_000.0 - 3600
    assert issued.not_valid_after_utc.timestamp() == 1_700_000_000.0 + 7200


def test_request_cannot_choose_its_identity() -> None:
    _, request = authority.certificate_request()
    signed = x509.load_pem_x509_certificate(authority.sign(CLUSTER, request, "n1", NodeRole.WORKER, NOW).encode())
    assert signed.subject.rfc4514_string() == "CN=n1,OU=swarm-worker,O=cluster-a"
    assert signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


@pytest.mark.parametrize("request_pem", ["", "junk", CLUSTER.ca_certificate], ids=["empty", "junk", "a-certificate"])
def test_what_is_no_request_is_refused(request_pem: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid certificate signing request"):
        authority.sign(CLUSTER, request_pem, "n1", NodeRole.WORKER, NOW)


def test_a_certificate_says_when_it_ends() -> None:
    assert WORKER.expires_at == pytest.approx(NOW + ClusterSpec().node_certificate_expiry, abs=1)


# TLS -------------------------------------------------------------------------------------------------------


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> PeerIdentity | None:
    """Connect, exchange a byte, and return whom the server saw."""
    seen: list[PeerIdentity | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(authority.peer_identity(writer.get_extra_info("ssl_object")))
        writer.write(await reader.read(1))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        try:
            writer.write(b"x")
            # TLS 1.3 tells a client that it was refused only with the first answer, or with its absence.
            if await asyncio.wait_for(reader.read(1), 5) != b"x":
                raise ConnectionError("refused")
        finally:
            writer.close()
    return seen[0]


def connect(server: NodeIdentity, client: ssl.SSLContext) -> PeerIdentity | None:
    return asyncio.run(handshake(authority.server_context(server), client))


@pytest.mark.parametrize("member", [MANAGER, WORKER], ids=["manager", "worker"])
def test_server_knows_the_member(member: NodeIdentity) -> None:
    seen = connect(MANAGER, authority.client_context(member))
    assert seen == PeerIdentity(member.node_id, member.role, "cluster-a")


def test_stranger_may_connect_and_is_nobody() -> None:
    assert connect(MANAGER, authority.anonymous_context(CLUSTER.ca_certificate)) is None


def test_worker_cannot_pose_as_a_manager() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="swarm-manager"):
        connect(WORKER, authority.client_context(MANAGER))


def test_manager_of_another_cluster_is_not_trusted() -> None:
    foreign = authority.issue(OTHER, "node-m", NodeRole.MANAGER, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(foreign, authority.client_context(WORKER))


def test_member_of_another_cluster_is_refused() -> None:
    foreign = authority.issue(OTHER, "node-w", NodeRole.WORKER, NOW)
    intruder = authority.client_context(replace(foreign, ca_pem=CLUSTER.ca_certificate))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(MANAGER, intruder)


def test_expired_member_is_refused() -> None:
    expired = authority.issue(CLUSTER, "node-x", NodeRole.WORKER, NOW - ClusterSpec().node_certificate_expiry - 60)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(MANAGER, authority.client_context(expired))


def test_old_tls_is_refused() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.load_verify_locations(cadata=CLUSTER.ca_certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(MANAGER, old)
