"""Who is asked what is attached to its networks."""

import asyncio

from orchestrator.manager.attachment_broker import AttachmentBroker
from orchestrator.model.session import Attached, AttachedRequest, ManagerMessage


def test_a_node_whose_session_is_being_opened_anew_is_asked_when_it_has_one() -> None:
    async def scenario() -> None:
        sessions = iter((False, False, True))

        async def send(node_id: str, message: ManagerMessage) -> bool:
            has_session = next(sessions)
            if has_session:
                assert isinstance(message, AttachedRequest)
                broker.take(node_id, Attached(message.number, (("net1", "byhand"),)))
            return has_session

        broker = AttachmentBroker(send)
        assert await broker.ask("n1") == {"net1": "byhand"}

    asyncio.run(scenario())
