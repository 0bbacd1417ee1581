"""Another root: who knows whom before, while and after it takes the old one's place."""

import asyncio
import datetime
import ssl
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from orchestrator import clock
from orchestrator.manager import authority, roots
from orchestrator.manager.authority import NodeIdentity
from orchestrator.model.cluster import Cluster, ClusterSpec, RootRotation
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeRole, NodeTrust
from tests.unit.manager.test_authority import handshake

NOW = clock.now()
BEFORE = authority.found("c1", ClusterSpec(), NOW)
ROTATION = roots.rotation_to(BEFORE, "", "", NOW)
DURING = authority.with_rotation(BEFORE, ROTATION)
AFTER = replace(BEFORE, ca_certificate=ROTATION.ca_certificate, ca_key=ROTATION.ca_key)


def issued(cluster: Cluster, role: NodeRole, trusting: Cluster) -> NodeIdentity:
    return authority.issue(cluster, "n1", role, NOW).trusting(trusting.ca_certificate)


def meet(manager: NodeIdentity, worker: NodeIdentity) -> bool:
    """Whether they accept each other."""
    try:
        seen = asyncio.run(handshake(authority.server_context(manager), authority.client_context(worker)))
    except (ssl.SSLError, ConnectionError):
        return False
    return seen is not None


STAGES = {
    "old certificate, old root": (BEFORE, BEFORE),
    "new certificate, old root": (DURING, BEFORE),
    "new certificate, new root": (DURING, AFTER),
    "renewed afterwards": (AFTER, AFTER),
}
ORDER = list(STAGES)


@pytest.mark.parametrize("manager", ORDER)
@pytest.mark.parametrize("worker", ORDER)
def test_nodes_one_step_apart_know_each_other(manager: str, worker: str) -> None:
    one, other = issued(STAGES[manager][0], NodeRole.MANAGER, STAGES[manager][1]), STAGES[worker]
    apart = abs(ORDER.index(manager) - ORDER.index(worker))
    # An old certificate and the new root alone: those never meet, for the rotation ends when there are none.
    expected = apart <= 1
    assert meet(one, issued(other[0], NodeRole.WORKER, other[1])) is expected


def test_a_certificate_of_the_old_root_is_worth_nothing_afterwards() -> None:
    assert not meet(issued(AFTER, NodeRole.MANAGER, AFTER), issued(BEFORE, NodeRole.WORKER, AFTER))
    assert not meet(issued(BEFORE, NodeRole.MANAGER, AFTER), issued(AFTER, NodeRole.WORKER, AFTER))


def test_a_node_says_who_vouches_for_it() -> None:
    old, new = roots.wanted_trust(BEFORE.ca_certificate, BEFORE.issuer_certificate), ROTATION.issuer_public_key
    before, during = (issued(cluster, NodeRole.WORKER, BEFORE) for cluster in (BEFORE, DURING))
    assert roots.trust_of(before.certificate_pem, before.ca_pem) == old
    wanted = roots.wanted_trust(BEFORE.ca_certificate, DURING.issuer_certificate)
    assert roots.trust_of(during.certificate_pem, during.ca_pem) == wanted
    assert (wanted.issuer_public_key, wanted.root) == (new, BEFORE.ca_certificate)
    after = during.trusting(AFTER.ca_certificate)
    assert roots.trust_of(after.certificate_pem, after.ca_pem) == roots.wanted_trust(
        AFTER.ca_certificate, AFTER.issuer_certificate
    )
    foreign = authority.found("c2", ClusterSpec(), NOW).ca_certificate
    assert roots.trust_of(before.certificate_pem, foreign) == NodeTrust(foreign)


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def own_root(key: Key, *, days: int = 3650, is_ca: bool = True, identified: bool = True) -> tuple[str, str]:
    """(certificate, key) as a user's own authority would make them."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "our own")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(authority.key_usage(signs_certificates=is_ca), critical=True)
    )
    if identified:
        identifier = x509.SubjectKeyIdentifier(b"of our own making")
        builder = builder.add_extension(identifier, critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return pem, key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


CURVE_KEY = ec.generate_private_key(ec.SECP384R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("key", [CURVE_KEY, RSA_KEY], ids=["EC", "RSA"])
def test_a_user_s_own_root_serves_as_well(key: Key) -> None:
    certificate, key_pem = own_root(key)
    rotation = roots.rotation_to(BEFORE, certificate, key_pem, NOW)
    during = authority.with_rotation(BEFORE, rotation)
    after = replace(BEFORE, ca_certificate=rotation.ca_certificate, ca_key=rotation.ca_key)
    assert rotation.ca_certificate == certificate
    assert meet(issued(during, NodeRole.MANAGER, BEFORE), issued(BEFORE, NodeRole.WORKER, BEFORE))
    assert meet(issued(during, NodeRole.MANAGER, after), issued(after, NodeRole.WORKER, after))
    again = roots.rotation_to(after, "", "", NOW)
    assert meet(
        issued(authority.with_rotation(after, again), NodeRole.MANAGER, after), issued(after, NodeRole.WORKER, after)
    )


GOOD, GOOD_KEY = own_root(CURVE_KEY)


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("junk", GOOD_KEY, "could not parse the desired CA certificate"),
        (GOOD * 2, GOOD_KEY, "cannot contain multiple certificates"),
        (GOOD, "junk", "could not parse the desired CA key"),
        (GOOD, BEFORE.ca_key, "certificate key mismatch"),
        (*own_root(CURVE_KEY, days=300), "CA certificate expires too soon"),
        (*own_root(CURVE_KEY, is_ca=False), "the desired CA certificate is of no use"),
        (*own_root(CURVE_KEY, identified=False), "has no subject key identifier"),
    ],
)
def test_what_cannot_be_a_root_is_refused(certificate: str, key: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        roots.rotation_to(BEFORE, certificate, key, NOW)


def test_keys_are_not_shown() -> None:
    assert ROTATION.ca_key not in repr(ROTATION)
    assert BEFORE.ca_key not in repr(BEFORE)
    assert isinstance(ROTATION, RootRotation)
