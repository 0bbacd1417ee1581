"""The cluster's certificate authority: who is a member, in which role, and how members know each other.

Every node has a certificate of the cluster's own root whose subject is its identity: CN = node id, OU = role, O =
cluster id, as in swarm mode. Nodes connect to addresses, not names, so a server is known by its role: its certificate
carries the role as a DNS name, and our client contexts demand the manager's whatever address was dialled. Strangers
trust the root by its digest in their join token. What a peer may do is decided elsewhere.
"""

import datetime
import hashlib
import hmac
import os
import re
import socket
import ssl
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator import identity
from orchestrator.model.cluster import Cluster, ClusterSpec, RootRotation
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeRole

ROOT_VALIDITY = 20 * 365 * 86400.0
"""Seconds; swarmkit's RootCAExpiration."""
BACKDATE = 3600.0
"""Seconds a certificate is valid before it was made: nodes' clocks differ (swarmkit's CertBackdate)."""

INVALID_TOKEN = "invalid join token"
REFUSED_TOKEN = "A valid join token is necessary to join this cluster"
"""Docker's texts: for what is no token, and for one that is not this cluster's."""

TOKEN = re.compile(r"SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})")
"""The root's digest and the secret."""
_DIGEST_LENGTH = 50
_ID_LENGTH = 25
_UNIT_OF_ROLE = {NodeRole.MANAGER: "swarm-manager", NodeRole.WORKER: "swarm-worker"}
_ROLE_OF_UNIT = {unit: role for role, unit in _UNIT_OF_ROLE.items()}


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What a verified certificate says of its holder."""

    node_id: str
    role: NodeRole
    cluster_id: str


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node's own certificate and key, and the root it trusts, all in PEM."""

    node_id: str
    role: NodeRole
    certificate_pem: str
    key_pem: str
    ca_pem: str
    cluster_id: str

    @property
    def expires_at(self) -> float:
        """When the certificate ends, seconds since the epoch."""
        return x509.load_pem_x509_certificate(self.certificate_pem.encode()).not_valid_after_utc.timestamp()

    @property
    def issued_at(self) -> float:
        """When the certificate was made, seconds since the epoch."""
        certificate = x509.load_pem_x509_certificate(self.certificate_pem.encode())
        return certificate.not_valid_before_utc.timestamp() + BACKDATE

    def trusting(self, ca_pem: str) -> "NodeIdentity":
        """The same, trusting another root."""
        return replace(self, ca_pem=ca_pem)


# Founding and tokens ---------------------------------------------------------------------------------------


def found(cluster_id: str, spec: ClusterSpec, now: float) -> Cluster:
    """A new cluster with a root and join tokens of its own; `now` in seconds since the epoch."""
    ca_pem, key_pem = new_root(now)
    return Cluster(
        id=cluster_id,
        spec=spec,
        ca_certificate=ca_pem,
        ca_key=key_pem,
        worker_token=new_token(ca_pem),
        manager_token=new_token(ca_pem),
    )


def new_root(now: float) -> tuple[str, str]:
    """A fresh root certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
    certificate = (
        certificate_builder(name, None, key.public_key(), now, ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key)


def with_rotation(cluster: Cluster, rotation: RootRotation) -> Cluster:
    """The cluster as it is while its root is being replaced so."""
    return replace(cluster, rotation=rotation)


def new_token(ca_pem: str) -> str:
    """A fresh join token: by its digest a stranger knows the root, by its secret the managers know the stranger."""
    return f"SWMTKN-1-{digest_of(ca_pem)}-{identity.new_secret()}"


def verify_token(cluster: Cluster, token: str) -> NodeRole:
    """The role the token admits to. Raises `InvalidArgument`; takes the same time for every wrong secret."""
    if TOKEN.fullmatch(token) is None:
        raise InvalidArgument(INVALID_TOKEN)
    admits = {
        role: hmac.compare_digest(token.encode(), known.encode())
        for role, known in ((NodeRole.WORKER, cluster.worker_token), (NodeRole.MANAGER, cluster.manager_token))
    }
    for role, matches in admits.items():
        if matches:
            return role
    raise InvalidArgument(REFUSED_TOKEN)


def digest_of(ca_pem: str) -> str:
    """What join tokens name a root by."""
    return identity.base36(int.from_bytes(hashlib.sha256(ca_pem.encode()).digest()), _DIGEST_LENGTH)


# Certificates ----------------------------------------------------------------------------------------------


def certificate_request() -> tuple[str, str]:
    """A fresh key and a request to certify it, both PEM; the key stays on the node."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM).decode()


def sign(cluster: Cluster, request_pem: str, node_id: str, role: NodeRole, now: float) -> str:
    """A certificate for the request's key, PEM; the identity is the caller's, whatever the request asks for.

    While the root is being replaced it is the next root's, and what vouches for that follows it.
    Raises `InvalidArgument` when the request is not one, or not signed with the P-256 key it names.
    """
    return _certify(cluster, _requested_key(request_pem), node_id, role, now)


def node_id_for(request_pem: str) -> str:
    """The id of the node that holds the request's key: one that asks again, having missed the answer, is the same node.

    Every join makes a new key, so the ids are as unique as random ones. Raises `InvalidArgument` as `sign` does.
    """
    key = _requested_key(request_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return identity.base36(int.from_bytes(hashlib.sha256(key).digest()), _ID_LENGTH)


def _requested_key(request_pem: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        public_key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument("invalid certificate signing request") from error
    if not proven or not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name != "secp256r1":
        raise InvalidArgument("invalid certificate signing request")
    return public_key


def issue(cluster: Cluster, node_id: str, role: NodeRole, now: float) -> NodeIdentity:
    """A whole identity made here: for the first manager, which has nobody to ask."""
    key_pem, request_pem = certificate_request()
    return NodeIdentity(
        node_id=node_id,
        role=role,
        certificate_pem=sign(cluster, request_pem, node_id, role, now),
        key_pem=key_pem,
        ca_pem=cluster.ca_certificate,
        cluster_id=cluster.id,
    )


def _certify(cluster: Cluster, public_key: ec.EllipticCurvePublicKey, node_id: str, role: NodeRole, now: float) -> str:
    root = x509.load_pem_x509_certificate(cluster.issuer_certificate.encode())
    root_key = load_key(cluster.rotation.ca_key if cluster.rotation else cluster.ca_key)
    unit = _UNIT_OF_ROLE[role]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster.id),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, node_id),
        ]
    )
    both_ways = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    validity = cluster.spec.node_certificate_expiry
    certificate = (
        certificate_builder(subject, root, public_key, now, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both_ways), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(unit), x509.DNSName(node_id)]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    own = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return own + (cluster.rotation.cross_signed if cluster.rotation else "")


def load_key(key_pem: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """A root's key."""
    key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Certificate | None,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    now: float,
    validity: float,
    identifier: x509.SubjectKeyIdentifier | None = None,
) -> x509.CertificateBuilder:
    """What all our certificates have in common; without an issuer it is its own, without an identifier we make one."""
    identifier = identifier or x509.SubjectKeyIdentifier.from_public_key(public_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(now - BACKDATE, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(now + validity, datetime.UTC))
        .add_extension(identifier, critical=False)
        .add_extension(_issuer_identifier(issuer, public_key), critical=False)
    )


def _issuer_identifier(
    issuer: x509.Certificate | None, own_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.AuthorityKeyIdentifier:
    if issuer is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier(issuer))


def key_identifier(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """What a root calls its key: a user's may do so otherwise than we would. Raises `InvalidArgument`."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise InvalidArgument("the desired CA certificate has no subject key identifier") from error


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What the key may be used for: to sign certificates, or everything else."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


# TLS -------------------------------------------------------------------------------------------------------


class ManagerContext(ssl.SSLContext):
    """A client's context that accepts a manager of the cluster only, whatever address was dialled."""

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As in `ssl`, for those who bring a socket of their own."""
        name = _UNIT_OF_ROLE[NodeRole.MANAGER]
        return super().wrap_socket(sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, name, session)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As in `ssl`; event loops make every connection through this."""
        return super().wrap_bio(incoming, outgoing, server_side, _UNIT_OF_ROLE[NodeRole.MANAGER], session)


def server_context(own: NodeIdentity) -> ssl.SSLContext:
    """For the managers' port: members show their certificate, strangers may come without; see `peer_identity`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _trust(context, own.ca_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    load_identity(context, own)
    return context


def consensus_context(own: NodeIdentity) -> ssl.SSLContext:
    """For the port of the consensus: whoever shows no certificate of the cluster's does not get in."""
    context = server_context(own)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(own: NodeIdentity) -> ssl.SSLContext:
    """For a member's connections to managers: shows the own certificate and accepts none but a manager's."""
    context = anonymous_context(own.ca_pem)
    load_identity(context, own)
    return context


def anonymous_context(ca_pem: str) -> ssl.SSLContext:
    """For a stranger that knows the root already: accepts a manager's certificate, shows none."""
    context = ManagerContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, ca_pem)
    return context


def peer_identity(ssl_object: Any) -> PeerIdentity | None:
    """Who is at the other end of a TLS connection (`ssl.SSLObject` or alike); None for a stranger.

    Only certificates that TLS verified count. One of an unknown role is a stranger's.
    """
    certificate = None if ssl_object is None else ssl_object.getpeercert()
    if not certificate:
        return None
    subject = {name: value for part in certificate["subject"] for name, value in part}
    role = _ROLE_OF_UNIT.get(subject.get("organizationalUnitName", ""))
    if role is None:
        return None
    return PeerIdentity(subject["commonName"], role, subject["organizationName"])


def manager_of(ssl_object: Any) -> str | None:
    """The node id of the manager at the other end of a TLS connection; None for anybody else."""
    peer = peer_identity(ssl_object)
    return peer.node_id if peer is not None and peer.role is NodeRole.MANAGER else None


def _trust(context: ssl.SSLContext, ca_pem: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca_pem)


def load_identity(context: ssl.SSLContext, own: NodeIdentity) -> None:
    """Show this certificate from the next connection on; those that are open stay."""
    # `ssl` takes the key from a file only: one in memory, so that it is on the disk once, where `save` put it.
    with os.fdopen(os.memfd_create("identity"), "wb") as file:
        file.write(f"{own.certificate_pem}\n{own.key_pem}".encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
