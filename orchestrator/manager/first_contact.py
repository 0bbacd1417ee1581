"""A stranger's first contact with a cluster: it gets the root certificate and knows it by its join token."""

import asyncio
import hmac
import ssl
from collections.abc import Sequence

import aiohttp

from orchestrator.manager.authority import INVALID_TOKEN, TOKEN, digest_of
from orchestrator.model.errors import InvalidArgument, Unavailable

FOREIGN_ROOT = "remote CA does not match fingerprint"
"""Docker's text for a root that is not the token's."""

_CA_PATH = "/ca"
_CA_SIZE_MAX = 64 * 2**10
_ATTEMPT_TIMEOUT = 5.0
_RETRY_PERIOD = 0.2


async def download_root_ca(remotes: Sequence[str], token: str, deadline: float) -> str:
    """The root certificate, PEM, fetched from any of the managers ("address:port") and known by the token's digest.

    Raises `InvalidArgument` when the token is none or a manager serves another root, which is what an impostor would
    do, and `Unavailable` when none answered within `deadline` seconds.
    """
    match = TOKEN.fullmatch(token)
    if match is None:
        raise InvalidArgument(INVALID_TOKEN)
    failure: Exception | None = None
    try:
        async with asyncio.timeout(deadline), aiohttp.ClientSession() as http:
            while True:
                for remote in remotes:
                    try:
                        return _check_root(await _fetch_root(http, remote), match[1])
                    except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
                        failure = error
                await asyncio.sleep(_RETRY_PERIOD)
    except TimeoutError:
        text = f"could not get the root certificate from {', '.join(remotes)}: {failure or 'no answer'}"
        raise Unavailable(text) from failure


async def _fetch_root(http: aiohttp.ClientSession, remote: str) -> str:
    # Nothing is trusted yet: the digest decides, not the connection.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    timeout = aiohttp.ClientTimeout(total=_ATTEMPT_TIMEOUT)
    async with http.get(f"https://{remote}{_CA_PATH}", ssl=context, timeout=timeout) as answer:
        answer.raise_for_status()
        received = bytearray()
        async for chunk in answer.content.iter_any():
            received += chunk
            if len(received) > _CA_SIZE_MAX:
                raise InvalidArgument(FOREIGN_ROOT)
        return received.decode()


def _check_root(ca_pem: str, digest: str) -> str:
    if not hmac.compare_digest(digest_of(ca_pem), digest):
        raise InvalidArgument(f"{FOREIGN_ROOT}. Expected: {int(digest, 36):064x}")
    return ca_pem
