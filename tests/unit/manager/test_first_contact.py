"""A stranger gets the root certificate; every connection stays on 127.0.0.1."""

import asyncio

import pytest
from aiohttp import web

from orchestrator import clock, identity
from orchestrator.manager import authority, first_contact
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import InvalidArgument, Unavailable
from orchestrator.model.node import NodeRole

CLUSTER = authority.found("cluster-a", ClusterSpec(), clock.now())
MANAGER = authority.issue(CLUSTER, "node-m", NodeRole.MANAGER, clock.now())
OTHER = authority.found("cluster-b", ClusterSpec(), clock.now())


def download(ca_pem: str, token: str) -> str:
    """Fetch the root from a manager that serves `ca_pem`."""

    async def serve_and_fetch() -> str:
        application = web.Application()

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=ca_pem)

        application.router.add_get("/ca", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context(MANAGER))
        await site.start()
        host, port = runner.addresses[0]
        try:
            return await first_contact.download_root_ca(["127.0.0.1:1", f"{host}:{port}"], token, 5.0)
        finally:
            await runner.cleanup()

    return asyncio.run(serve_and_fetch())


def test_root_is_known_by_the_tokens_digest() -> None:
    assert download(CLUSTER.ca_certificate, CLUSTER.worker_token) == CLUSTER.ca_certificate


@pytest.mark.parametrize("served", [OTHER.ca_certificate, "", "x" * 100_000])
def test_another_root_is_refused(served: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^remote CA does not match fingerprint(\. Expected: [0-9a-f]{64})?$"):
        download(served, CLUSTER.worker_token)


def test_what_is_no_token_asks_nobody() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid join token$"):
        asyncio.run(first_contact.download_root_ca(["127.0.0.1:1"], "SWMTKN-1-" + identity.new_secret(), 5.0))


def test_silent_managers_are_given_up() -> None:
    with pytest.raises(Unavailable, match=r"^could not get the root certificate from 127\.0\.0\.1:1: "):
        asyncio.run(first_contact.download_root_ca(["127.0.0.1:1"], CLUSTER.worker_token, 0.1))
