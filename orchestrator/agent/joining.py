"""Asks the managers to make this node a member, to let it stay one, and to let it go."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp
import msgspec

from orchestrator.model.errors import JoinRefused, Unavailable
from orchestrator.model.joining import JoinReply, JoinRequest, RenewRequest
from orchestrator.model.session import REDIRECT_HEADER

logger = logging.getLogger(__name__)

ATTEMPT_DEADLINE_S = 15.0
RETRY_INTERVAL_S = 0.2
CONNECT_DEADLINE_S = 2.0
LEAVE_ATTEMPTS = 8


async def join(request: JoinRequest, managers: Sequence[str], tls: ssl.SSLContext, deadline: float) -> JoinReply:
    """The managers' reply; tries all addresses, follows them to the leader, and gives up after `deadline` seconds.

    Raises `JoinRefused` when the token is refused and `Unavailable` when no manager let the node in in time.
    """
    reply = await _post(managers, "/join", msgspec.json.encode(request), tls, deadline)
    return msgspec.json.decode(reply, type=JoinReply)


async def become_raft_member(managers: Sequence[str], tls: ssl.SSLContext, deadline: float) -> None:
    """Ask to be made a voter, now that this manager's Raft transport listens. Raises as `join` does."""
    await _post(managers, "/raft", b"", tls, deadline)


async def renew(request: RenewRequest, managers: Sequence[str], tls: ssl.SSLContext, deadline: float) -> JoinReply:
    """A new certificate for this member, in the role it is to have now. Raises as `join` does."""
    reply = await _post(managers, "/renew", msgspec.json.encode(request), tls, deadline)
    return msgspec.json.decode(reply, type=JoinReply)


async def leave(managers: Sequence[str], tls: ssl.SSLContext, deadline: float) -> bool:
    """Return when the managers have let this node go, True, or when none of them can, False.

    Each is asked once; one that answers may take up to `deadline` seconds, for the node's tasks are drained first.
    """
    addresses = list(managers)
    timeout = aiohttp.ClientTimeout(total=deadline, sock_connect=CONNECT_DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for attempt in range(LEAVE_ATTEMPTS):
            if not addresses:
                break
            address = addresses.pop(0)
            try:
                async with http.post(f"https://{address}/leave", ssl=tls) as answer:
                    if answer.ok:
                        return True
                    logger.info("%s did not let us go: %s %s", address, answer.status, await answer.text())
                    if leader := answer.headers.get(REDIRECT_HEADER):
                        addresses = [leader, *(other for other in addresses if other != leader)]
                    elif answer.status == HTTPStatus.MISDIRECTED_REQUEST:
                        # Between two leaders: ask again.
                        addresses.append(address)
                        await asyncio.sleep(RETRY_INTERVAL_S * attempt)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.info("%s did not answer: %s", address, error)
    return False


async def _post(managers: Sequence[str], path: str, body: bytes, tls: ssl.SSLContext, deadline: float) -> bytes:
    addresses = list(managers)
    try:
        async with asyncio.timeout(deadline), aiohttp.ClientSession() as http:
            while True:
                for address in list(addresses):
                    answer = await _ask(http, f"https://{address}{path}", body, tls)
                    if isinstance(answer, bytes):
                        return answer
                    if answer is not None:
                        addresses = [answer, *(other for other in addresses if other != answer)]
                        break
                else:
                    await asyncio.sleep(RETRY_INTERVAL_S)
    except TimeoutError:
        raise Unavailable("Timeout was reached before node joined.") from None


async def _ask(http: aiohttp.ClientSession, url: str, body: bytes, tls: ssl.SSLContext) -> bytes | str | None:
    """The reply; or the address of the leader to ask instead; or None when this manager cannot help now."""
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_DEADLINE_S)
    try:
        async with http.post(url, data=body, ssl=tls, timeout=timeout) as answer:
            if answer.ok:
                return await answer.read()
            text = await answer.text()
            if answer.status == 400:
                raise JoinRefused(text)
            logger.info("%s answered %s: %s", url, answer.status, text)
            return answer.headers.get(REDIRECT_HEADER)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        logger.info("%s did not answer: %s", url, error)
        return None
