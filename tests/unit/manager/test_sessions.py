"""An agent and a dispatcher talking for real: WebSocket, mutual TLS, 127.0.0.1."""

import asyncio
from dataclasses import replace
from unittest.mock import Mock

import pytest

from orchestrator.manager import dispatcher
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import Unavailable
from orchestrator.model.gossip import GossipKey, Keyring
from orchestrator.model.session import LOG_WINDOW_FRAMES, Heartbeat, LogFrame, LogRequest
from orchestrator.model.task import TaskState, TaskStatus
from orchestrator.state.actions import (
    RemoveNode,
    RotateGossipKeys,
    SetDesiredState,
)
from tests.unit.manager.session_rig import CLUSTER, DEADLINE_S, Relay, Rig, until

LEAVING_S = 1.5
"""Far less than a manager that is silent is given to answer a ping or a farewell."""


def test_a_node_gets_its_tasks_and_the_manager_learns_who_it_is() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            assert [task.id for task in rig.agent.received[-1].tasks] == ["t1"]
            assert rig.agent.received[-1].managers == ("10.1.0.1:2377",)
            await until(lambda: rig.store.state.node("n1").description.hostname == "n1")

    asyncio.run(scenario())


def test_progress_of_the_data_plane_reaches_the_deciders_at_once() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: "n1" in rig.observations.by_node)
            woken = rig.woken
            rig.agent.heartbeat = Heartbeat(7, (("t1", 2),))
            session.progressed()
            await until(lambda: rig.observations.by_node["n1"].revision == 7)
            assert rig.observations.by_node["n1"].flows == (("t1", 2),)
            assert rig.woken > woken

    asyncio.run(scenario())


def test_a_reported_status_is_committed_and_an_impossible_one_holds_back_no_other() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            session.report("t1", TaskStatus(TaskState.RUNNING, "started"))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)
            session.report("t1", TaskStatus(TaskState.PREPARING, "late"))
            session.report("unknown", TaskStatus(TaskState.RUNNING))
            session.report("t1", TaskStatus(TaskState.FAILED, "finished"))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.FAILED)

    asyncio.run(scenario())


def test_statuses_missed_by_an_old_session_come_with_the_next_hello() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.statuses = (("t1", TaskStatus(TaskState.RUNNING, "started")),)
        async with rig.running():
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)

    asyncio.run(scenario())


def test_a_changed_order_is_sent_without_being_asked() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            await rig.store.propose((SetDesiredState("t1", TaskState.SHUTDOWN),))
            await until(lambda: rig.agent.received[-1].tasks[0].ordered_state is TaskState.SHUTDOWN)

    asyncio.run(scenario())


def test_a_session_in_which_nothing_can_be_sent_is_ended_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        rig = Rig()
        with monkeypatch.context() as broken:
            broken.setattr(dispatcher, "tasks_for", Mock(side_effect=KeyError("no such task")))
            async with rig.running():
                await until(lambda: "no assignments can be sent node=n1" in caplog.text)
                assert "no such task" in caplog.text
                broken.undo()
                # The agent came back by itself.
                await until(lambda: bool(rig.agent.received))

    asyncio.run(scenario())


def test_turned_gossip_keys_are_handed_out_at_once() -> None:
    async def scenario() -> None:
        rig = Rig(replace(CLUSTER, spec=ClusterSpec(heartbeat_period=60.0)))
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            assert rig.agent.received[-1].keyring == Keyring("c1", ())
            keys = (GossipKey("first", 1.0), GossipKey("second", 2.0))
            await rig.store.propose((RotateGossipKeys((), keys),))
            await until(lambda: rig.agent.received[-1].keyring == Keyring("c1", ("first", "second")))

    asyncio.run(scenario())


def test_a_deposed_leader_ends_its_sessions_and_the_agent_returns_to_it_when_it_leads_again() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            rig.store.depose()
            await until(lambda: session.connected_to is None)
            rig.store.elect()
            await until(lambda: session.connected_to is not None)

    asyncio.run(scenario())


def test_every_order_carries_the_term_and_a_deposed_leader_is_left() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            assert rig.agent.received[-1].term == rig.agent.term == rig.store.leading_term == 1
            # A later leader has been heard elsewhere; this one does not know, and goes on giving orders.
            rig.agent.term = 2
            orders = len(rig.agent.received)
            await rig.store.propose((SetDesiredState("t1", TaskState.SHUTDOWN),))
            await until(lambda: session.connected_to is None)
            assert len(rig.agent.received) == orders
            rig.store.elect()
            await until(lambda: len(rig.agent.received) > orders)
            assert rig.agent.received[-1].tasks[0].ordered_state is TaskState.SHUTDOWN

    asyncio.run(scenario())


def test_a_manager_whose_node_is_held_dead_is_left_but_for_one_that_was_returned_to() -> None:
    async def scenario() -> None:
        rig = Rig(replace(CLUSTER, spec=ClusterSpec(heartbeat_period=60.0)))
        async with rig.running() as session:
            await until(lambda: len(rig.agent.received) == 1)
            session.avoid(frozenset({"127.0.0.1"}))
            # There is no other manager.
            await until(lambda: len(rig.agent.received) == 2)
            # That a third node dies says nothing new of this one.
            session.avoid(frozenset({"127.0.0.1", "127.0.0.2"}))
            await rig.store.propose((SetDesiredState("t1", TaskState.SHUTDOWN),))
            await until(lambda: len(rig.agent.received) == 3)
            assert session.connected_to is not None
            session.avoid(frozenset())
            session.avoid(frozenset({"127.0.0.1"}))
            await until(lambda: len(rig.agent.received) == 4)

    asyncio.run(scenario())


def test_a_dead_manager_is_left_without_waiting_for_its_word() -> None:
    async def scenario() -> None:
        rig = Rig(replace(CLUSTER, spec=ClusterSpec(heartbeat_period=60.0)))
        rig.managers = []
        async with rig.running() as session:
            relay = Relay(rig.address)
            async with relay.running():
                rig.managers = [relay.address]
                await until(lambda: session.connected_to == relay.address)
                relay.die()
                rig.managers = [relay.address, rig.address]
                session.avoid(frozenset({"127.0.0.2"}))
                await until(lambda: session.connected_to == rig.address, LEAVING_S)

    asyncio.run(scenario())


def test_a_node_that_claims_to_be_another_gets_no_session() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.node_id = "n2"
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            await until(lambda: session.connected_to is None)
            assert not rig.agent.received

    asyncio.run(scenario())


def test_a_removed_node_loses_its_session() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            await rig.store.propose((RemoveNode("n1", force=True),))
            await until(lambda: session.connected_to is None)

    asyncio.run(scenario())


def test_a_log_comes_from_the_node_that_has_it() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            request = LogRequest(41, "t1")
            async with asyncio.timeout(DEADLINE_S):
                frames = [frame async for frame in rig.dispatcher.logs([("n1", request)])]
            assert [frame.data for frame in frames] == ["one\n", "two\n", ""]
            assert {frame.number for frame in frames} == {41}
            assert [f async for f in rig.dispatcher.logs([("gone", replace(request, number=1))])] == [
                LogFrame(1, end=True)
            ]

    asyncio.run(scenario())


def test_a_node_says_what_was_attached_to_its_networks_by_hand() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            async with asyncio.timeout(DEADLINE_S):
                answers = await asyncio.gather(rig.dispatcher.attached("n1"), rig.dispatcher.attached("n1"))
            assert list(answers) == [{"net1": "byhand"}] * 2
            rig.dispatcher._attachment_broker._deadline_s = 0.1
            with pytest.raises(Unavailable, match="node gone does not say"):
                await rig.dispatcher.attached("gone")

    asyncio.run(scenario())


def test_a_node_that_does_not_say_what_is_attached_is_no_node_without() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.attachments = None
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            rig.dispatcher._attachment_broker._deadline_s = 0.1
            with pytest.raises(Unavailable, match="node n1 does not say"):
                await rig.dispatcher.attached("n1")
            # Its session goes on.
            session.report("t1", TaskStatus(TaskState.PREPARING))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.PREPARING)

    asyncio.run(scenario())


def test_a_log_nobody_reads_holds_up_nothing_and_is_read_whole_later() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.log = tuple(f"{number}\n" for number in range(5 * LOG_WINDOW_FRAMES))
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            logs = rig.dispatcher.logs([("n1", LogRequest(1, "t1"))])
            async with asyncio.timeout(DEADLINE_S):
                first = await anext(logs)
                # The log waits for its reader, but what comes behind it arrives.
                session.report("t1", TaskStatus(TaskState.PREPARING))
                await until(lambda: rig.store.state.task("t1").status.state is TaskState.PREPARING)
                rest = [frame async for frame in logs]
            assert [first.data, *(frame.data for frame in rest)] == [*rig.agent.log, ""]

    asyncio.run(scenario())
