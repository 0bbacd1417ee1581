"""The cluster's certificate authority, and what a node holds of it, as Docker's JSON describes them."""

import base64
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.api.wire.common import TLSInfo
from orchestrator.model.node import NodeTrust


@lru_cache(maxsize=8)
def tls_info(ca_certificate: str, issuer_certificate: str) -> TLSInfo:
    """The root certificate in PEM, and in base64 of their DER bytes subject and public key of the one that signs."""
    if not ca_certificate:
        return TLSInfo()
    certificate = x509.load_pem_x509_certificate(issuer_certificate.encode())
    public_key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TLSInfo(
        trust_root=ca_certificate,
        cert_issuer_subject=base64.b64encode(certificate.subject.public_bytes()).decode(),
        cert_issuer_public_key=base64.b64encode(public_key).decode(),
    )


def trust_to_wire(trust: NodeTrust) -> TLSInfo:
    """What a node says of itself."""
    return TLSInfo(
        trust_root=trust.root,
        cert_issuer_subject=trust.issuer_subject,
        cert_issuer_public_key=trust.issuer_public_key,
    )
