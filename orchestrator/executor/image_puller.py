"""Bringing a missing image to the node, without ever letting a missing registry hold a task.

A pull that fails is not an error here: the create that follows says "No such image" in the engine's own words, as swarm
mode does (moby `controller.Prepare`).
"""

import asyncio
import json
import logging

import aiohttp

from orchestrator.executor.engine_client import EngineClient, EngineError

FIRST_ANSWER_S = 10.0
"""A registry that exists has sent the manifest by then."""
IDLE_S = 60.0
"""Between two lines of progress."""
TOTAL_S = 900.0

logger = logging.getLogger(__name__)


async def pull_image(client: EngineClient, image: str, registry_auth: str = "") -> None:
    """Try to pull `image`; returns when it is here or cannot be had. `registry_auth` is an X-Registry-Auth header."""
    # Without a tag the engine would pull every tag of the repository.
    has_tag = ":" in image.rpartition("/")[2] or "@" in image
    params = {"fromImage": image} | ({} if has_tag else {"tag": "latest"})
    headers = {"X-Registry-Auth": registry_auth} if registry_auth else {}
    try:
        async with (
            asyncio.timeout(TOTAL_S),
            client.stream("POST", "images/create", params, headers, FIRST_ANSWER_S) as progress,
        ):
            await _follow(progress)
    except (EngineError, TimeoutError) as error:
        logger.warning("pulling image failed", extra={"image": image, "error": str(error) or "out of time"})


async def _follow(progress: aiohttp.StreamReader) -> None:
    while True:
        async with asyncio.timeout(IDLE_S):
            line = await progress.readline()
        if not line:
            return
        error = json.loads(line).get("error")
        if error:
            raise EngineError(0, error)
