"""Asks agents which containers that somebody started by hand are on their nodes' networks.

The managers know tasks, and a node's engine everything else. So what would take a network away asks every node first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from orchestrator.model.errors import Unavailable
from orchestrator.model.session import Attached, AttachedRequest, ManagerMessage

ANSWER_DEADLINE_S = 5.0
"""An agent asks its engine, which may be busy."""
SEND_INTERVAL_S = 0.1
"""Until the node has a session."""


class AttachmentBroker:
    """Pairs agents' answers with whoever asked.

    `send` gives a message to a node's session; False = the node has none.
    """

    def __init__(
        self, send: Callable[[str, ManagerMessage], Awaitable[bool]], *, deadline_s: float = ANSWER_DEADLINE_S
    ) -> None:
        self._send = send
        self._deadline_s = deadline_s
        self._asked: dict[int, tuple[str, asyncio.Future[Mapping[str, str]]]] = {}
        """By number: the node, and its answer to come."""
        self._last_number = 0

    async def ask(self, node_id: str) -> Mapping[str, str]:
        """Network id -> the name of one such container, of the networks that have any. Raises `Unavailable`."""
        self._last_number += 1
        number = self._last_number
        answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
        self._asked[number] = (node_id, answer)
        try:
            async with asyncio.timeout(self._deadline_s):
                # After a change of leader its session is opened anew.
                while not await self._send(node_id, AttachedRequest(number)):
                    await asyncio.sleep(SEND_INTERVAL_S)
                return await answer
        except TimeoutError:
            raise Unavailable(f"node {node_id} does not say which containers are on its networks") from None
        finally:
            del self._asked[number]

    def take(self, node_id: str, attached: Attached) -> None:
        """A node's answer; one that nobody waits for any more is dropped."""
        asked_node, answer = self._asked.get(attached.number, ("", None))
        if answer is not None and asked_node == node_id and not answer.done():
            answer.set_result(dict(attached.containers))
