"""How many clients may follow logs and events at once."""

import pytest

from orchestrator.api import context
from tests.unit.api.client import Api, run


def test_followers_are_bounded_and_make_room_when_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MAX_FOLLOWERS", 2)

    async def scenario(api: Api) -> None:
        await api.create()
        streams = [await api.stream("/events"), await api.stream("/events")]
        message = "more than 2 clients follow logs and events of this node"
        for path in ("/events", "/services/web/logs?stdout=1"):
            assert await api.call("GET", path) == (503, {"message": message})
        for stream in streams:
            stream.close()

    run(scenario)


def test_one_that_has_gone_counts_no_more() -> None:
    following = context.Following(context.MAX_FOLLOWERS - 1)
    for _ in range(3):
        with following.one_more():
            assert following.count == context.MAX_FOLLOWERS
    assert following.count == context.MAX_FOLLOWERS - 1
