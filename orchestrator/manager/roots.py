"""Another root for the cluster's certificates: made or taken from the user, and vouched for by the present one.

While nodes change over, each proves itself by a chain of two: its own certificate, signed by the new root, and the new
root as the old one certifies it. So it is known to those that trust the old root and to those that trust the new one.
"""

import base64
import datetime
import ssl
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.manager import authority
from orchestrator.model.cluster import Cluster, RootRotation
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeRole, NodeTrust

MIN_VALIDITY = 365 * 86400.0
"""Seconds a root must yet have before it; swarmkit's minRootExpiration."""
_TRIAL_STEPS = 10


def rotation_to(cluster: Cluster, certificate_pem: str, key_pem: str, now: float) -> RootRotation:
    """The rotation to that root; to a fresh one when both are empty. `now` in seconds since the epoch.

    Raises `InvalidArgument` when it cannot be the root of this cluster.
    """
    if certificate_pem:
        _check(certificate_pem, key_pem, now)
    else:
        certificate_pem, key_pem = authority.new_root(now)
    root = x509.load_pem_x509_certificate(certificate_pem.encode())
    rotation = RootRotation(
        ca_certificate=certificate_pem,
        ca_key=key_pem,
        cross_signed=_cross_signed(cluster, root, now),
        digest=authority.digest_of(certificate_pem),
        issuer_public_key=_public_key(root),
    )
    _try_out(cluster, rotation, now)
    return rotation


@lru_cache(maxsize=8)
def wanted_trust(root_pem: str, issuer_pem: str) -> NodeTrust:
    """What every node is to trust and be vouched for by."""
    return _trust(root_pem, x509.load_pem_x509_certificate(issuer_pem.encode()))


@lru_cache(maxsize=8)
def trust_of(certificate_pem: str, root_pem: str) -> NodeTrust:
    """What a node with this certificate (or chain) trusts and is vouched for by."""
    leaf, *chain = x509.load_pem_x509_certificates(certificate_pem.encode())
    for issuer in (*chain, *x509.load_pem_x509_certificates(root_pem.encode())):
        try:
            leaf.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            continue
        return _trust(root_pem, issuer)
    return NodeTrust(root_pem)


def _trust(root_pem: str, issuer: x509.Certificate) -> NodeTrust:
    return NodeTrust(root_pem, base64.b64encode(issuer.subject.public_bytes()).decode(), _public_key(issuer))


def _public_key(certificate: x509.Certificate) -> str:
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _check(certificate_pem: str, key_pem: str, now: float) -> None:
    try:
        certificates = x509.load_pem_x509_certificates(certificate_pem.encode())
    except ValueError as error:
        raise InvalidArgument("could not parse the desired CA certificate") from error
    if len(certificates) != 1:
        raise InvalidArgument("the desired CA certificate cannot contain multiple certificates")
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgument("could not parse the desired CA key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or key.key_size < 256:
        raise InvalidArgument("the desired CA key must be an elliptic curve or RSA key")
    certificate = certificates[0]
    if key.public_key() != certificate.public_key():
        raise InvalidArgument("certificate key mismatch")
    if certificate.not_valid_after_utc < datetime.datetime.fromtimestamp(now + MIN_VALIDITY, datetime.UTC):
        raise InvalidArgument("CA certificate expires too soon")


def _cross_signed(cluster: Cluster, root: x509.Certificate, now: float) -> str:
    """The new root's name and key, certified by the present root until that ends."""
    issuer = x509.load_pem_x509_certificate(cluster.ca_certificate.encode())
    key = authority.load_key(cluster.ca_key)
    public_key = root.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise InvalidArgument("the desired CA key must be an elliptic curve or RSA key")
    validity = issuer.not_valid_after_utc.timestamp() - now
    certificate = (
        authority.certificate_builder(root.subject, issuer, public_key, now, validity, authority.key_identifier(root))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(authority.key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _try_out(cluster: Cluster, rotation: RootRotation, now: float) -> None:
    """Let a manager and a worker of the new root meet, trusting the old root and the new: a handshake in memory.

    What OpenSSL will not have of a user's certificate shows here, while nothing depends on it.
    """
    during = authority.with_rotation(cluster, rotation)
    manager, worker = (authority.issue(during, "trial", role, now) for role in (NodeRole.MANAGER, NodeRole.WORKER))
    for root in (cluster.ca_certificate, rotation.ca_certificate):
        try:
            _shake_hands(manager.trusting(root), worker.trusting(root))
        except ssl.SSLError as error:
            raise InvalidArgument(f"the desired CA certificate is of no use: {error.reason or error}") from error


def _shake_hands(manager: authority.NodeIdentity, worker: authority.NodeIdentity) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        authority.client_context(worker).wrap_bio(to_client, to_server),
        authority.server_context(manager).wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(_TRIAL_STEPS):
        for number, end in enumerate(ends):
            if not done[number]:
                try:
                    end.do_handshake()
                    done[number] = True
                except ssl.SSLWantReadError:
                    continue
        if all(done):
            return
    raise ssl.SSLError("the handshake does not end")
