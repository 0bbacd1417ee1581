"""Founding, joining, leaving and changing a cluster over HTTP."""

import asyncio
from typing import Any

import pytest

from orchestrator.api.backend import JoinOptions, LocalNode, LocalNodeState
from orchestrator.api.errors import ALREADY_IN_SWARM, NO_SWARM, NOT_A_MANAGER, SWARM_LOCKED
from orchestrator.api.handlers import swarm
from orchestrator.model.errors import JoinRefused
from orchestrator.model.node import NodeRole
from orchestrator.state.actions import FinishRootRotation
from orchestrator.testing.cluster_backend import UNLOCK_KEY, FakeLifecycle, add_node, cluster_of_one
from tests.unit.api.client import Api, manager, run

INIT = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "127.0.0.1", "RemoteAddrs": None, "DefaultAddrPool": None}
JOIN = {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": ["127.0.0.1:2377"], "JoinToken": "SWMTKN-1-x-y"}
WORKER = FakeLifecycle(local=LocalNode(LocalNodeState.ACTIVE, "w"))


def test_init_answers_the_node_s_id_and_keeps_the_settings() -> None:
    lifecycle = FakeLifecycle()
    spec = {"Orchestration": {"TaskHistoryRetentionLimit": 2}, "Dispatcher": {"HeartbeatPeriod": 1_500_000_000}}

    async def scenario(api: Api) -> None:
        status, node_id = await api.call("POST", "/v1.45/swarm/init", {**INIT, "Spec": spec})
        assert (status, node_id) == (200, lifecycle.local.node_id)
        _, answer = await api.call("GET", "/swarm")
        assert answer["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 2}
        assert answer["Spec"]["Dispatcher"] == {"HeartbeatPeriod": 1_500_000_000}
        assert answer["Spec"]["Name"] == "default"
        assert (answer["DefaultAddrPool"], answer["SubnetSize"], answer["DataPathPort"]) == (None, 24, 4789)
        assert set(answer["JoinTokens"]) == {"Worker", "Manager"}
        assert await api.call("POST", "/swarm/init", INIT) == (503, {"message": ALREADY_IN_SWARM})

    run(scenario, lifecycle=lifecycle)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"ListenAddr": ""}, 400, 'invalid ListenAddr "": invalid empty address'),
        ({"AdvertiseAddr": "nowhere"}, 400, "must specify a valid IP address or interface name"),
        ({"Availability": "maybe"}, 400, 'invalid Availability: "maybe"'),
        ({"DataPathPort": 80}, 400, "Datapath port number is not in valid range (1024-49151) : 80"),
        ({"DefaultAddrPool": ["10.0.0.0/33"]}, 400, "invalid CIDR address: 10.0.0.0/33"),
        (
            {"DefaultAddrPool": ["10.20.0.0/25"]},
            400,
            'invalid CIDR: "10.20.0.0/25". Subnet size is too small for pool: 24',
        ),
        ({"SubnetSize": 40}, 400, "subnet size is out of range: 40"),
        ({"Spec": {"Name": "x"}}, 400, 'swarm spec must be named "default"'),
        (
            {"Spec": {"CAConfig": {"NodeCertExpiry": 60_000_000_000}}},
            400,
            "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s",
        ),
    ],
)
def test_refused_init(changes: dict[str, Any], status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        assert await api.call("POST", "/swarm/init", {**INIT, **changes}) == (status, {"message": message})

    run(scenario, lifecycle=FakeLifecycle())


def test_a_worker_cannot_force_a_new_cluster() -> None:
    async def scenario(api: Api) -> None:
        answer = await api.call("POST", "/swarm/init", {**INIT, "ForceNewCluster": True})
        assert answer == (503, {"message": NOT_A_MANAGER})

    run(scenario, lifecycle=WORKER)


def test_join_and_leave() -> None:
    lifecycle = FakeLifecycle()

    async def scenario(api: Api) -> None:
        assert (await api.response("POST", "/swarm/join", json=JOIN)).status == 200
        assert (await api.response("GET", "/_ping")).headers["Swarm"] == "active/worker"
        assert await api.call("POST", "/swarm/join", JOIN) == (503, {"message": ALREADY_IN_SWARM})
        assert (await api.response("POST", "/swarm/leave")).status == 200
        assert await api.call("POST", "/swarm/leave") == (503, {"message": NO_SWARM})

    run(scenario, lifecycle=lifecycle)


def test_refused_joins() -> None:
    lifecycle = FakeLifecycle(join_error=JoinRefused("A valid join token is necessary to join this cluster"))

    async def scenario(api: Api) -> None:
        message = "at least 1 RemoteAddr is required to join"
        assert await api.call("POST", "/swarm/join", {**JOIN, "RemoteAddrs": []}) == (400, {"message": message})
        message = 'invalid remoteAddr "": invalid empty address'
        assert await api.call("POST", "/swarm/join", {**JOIN, "RemoteAddrs": [""]}) == (400, {"message": message})
        message = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster"
        assert await api.call("POST", "/swarm/join", JOIN) == (400, {"message": message})

    run(scenario, lifecycle=lifecycle)


def test_a_slow_join_goes_on_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm, "SWARM_CONNECT_TIMEOUT_S", 0.01)
    joined = asyncio.Event()
    go_on = asyncio.Event()

    class Slow(FakeLifecycle):
        async def join(self, options: JoinOptions) -> None:
            await go_on.wait()
            joined.set()

    async def scenario(api: Api) -> None:
        assert await api.call("POST", "/swarm/join", JOIN) == (503, {"message": swarm.JOIN_TIMEOUT})
        go_on.set()
        await asyncio.wait_for(joined.wait(), timeout=5)

    run(scenario, lifecycle=Slow())


def test_a_manager_leaves_only_by_force() -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/swarm/leave")
        assert status == 503
        assert "Removing the last manager erases all current state of the swarm." in answer["message"]
        add_node(backend, "n2", NodeRole.MANAGER)
        _, answer = await api.call("POST", "/swarm/leave")
        assert "Removing this node leaves 1 managers out of 2." in answer["message"]
        assert (await api.response("POST", "/swarm/leave?force=1")).status == 200

    run(scenario, lifecycle=manager(backend))


def test_update_rotates_only_the_tokens_asked_for() -> None:
    async def scenario(api: Api) -> None:
        _, before = await api.call("GET", "/swarm")
        path = f"/swarm/update?version={before['Version']['Index']}&rotateWorkerToken=true&rotateManagerToken=false"
        assert (await api.response("POST", path, json=before["Spec"])).status == 200
        _, after = await api.call("GET", "/swarm")
        assert after["JoinTokens"]["Manager"] == before["JoinTokens"]["Manager"]
        assert after["JoinTokens"]["Worker"] != before["JoinTokens"]["Worker"]
        assert after["JoinTokens"]["Worker"].rpartition("-")[0] == before["JoinTokens"]["Worker"].rpartition("-")[0]
        assert after["Spec"] == before["Spec"]
        status, answer = await api.call("POST", path, before["Spec"])
        assert (status, answer["message"]) == (500, "rpc error: code = Unknown desc = update out of sequence")

    run(scenario)


@pytest.mark.parametrize(
    ("query", "spec", "status"),
    [
        ("", {}, 400),
        ("?version=1&rotateWorkerToken=perhaps", {}, 400),
        ("?version=1", {"Name": "other"}, 400),
        ("?version=1", {"CAConfig": {"SigningCAKey": "x"}}, 400),
        ("?version=1", {"CAConfig": {"SigningCACert": "x"}}, 400),
        ("?version=1", {"CAConfig": {"SigningCACert": "x", "SigningCAKey": "bad"}}, 400),
        ("?version=1", {"CAConfig": {"ExternalCAs": [{"URL": "https://x"}]}}, 501),
        ("?version=1", {"Dispatcher": {"HeartbeatPeriod": -1}}, 400),
    ],
)
def test_refused_updates(query: str, spec: dict[str, Any], status: int) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.call("POST", f"/swarm/update{query}", spec))[0] == status

    run(scenario)


def test_nothing_is_locked() -> None:
    async def scenario(api: Api) -> None:
        assert await api.call("GET", "/swarm/unlockkey") == (200, {"UnlockKey": ""})
        assert await api.call("POST", "/swarm/unlock", {"UnlockKey": "x"}) == (409, {"message": "swarm is not locked"})

    run(scenario)


def test_a_rotation_of_the_root_is_shown_until_it_is_over() -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        _, before = await api.call("GET", "/swarm")
        assert before["RootRotationInProgress"] is False
        wanted = {**before["Spec"], "CAConfig": {**before["Spec"]["CAConfig"], "ForceRotate": 1}}
        assert (await api.call("POST", f"/swarm/update?version={before['Version']['Index']}", wanted))[0] == 200
        _, during = await api.call("GET", "/swarm")
        assert during["RootRotationInProgress"] is True
        assert during["Spec"]["CAConfig"]["ForceRotate"] == 1
        assert during["JoinTokens"] == before["JoinTokens"]
        backend.apply(FinishRootRotation("", "SWMTKN-1-new-worker", "SWMTKN-1-new-manager"))
        _, after = await api.call("GET", "/swarm")
        assert after["RootRotationInProgress"] is False
        assert after["JoinTokens"] == {"Worker": "SWMTKN-1-new-worker", "Manager": "SWMTKN-1-new-manager"}
        # The settings as they are shown ask for nothing.
        path = f"/swarm/update?version={after['Version']['Index']}"
        assert (await api.call("POST", path, after["Spec"]))[0] == 200
        assert (await api.call("GET", "/swarm"))[1]["RootRotationInProgress"] is False

    run(scenario, lifecycle=manager(backend))


def test_the_key_of_a_root_is_never_shown() -> None:
    async def scenario(api: Api) -> None:
        spec = {"CAConfig": {"SigningCACert": "our root", "SigningCAKey": "our key"}}
        _, before = await api.call("GET", "/swarm")
        assert (await api.call("POST", f"/swarm/update?version={before['Version']['Index']}", spec))[0] == 200
        text = await (await api.response("GET", "/swarm")).text()
        assert "our root" in text
        assert "our key" not in text

    run(scenario)


def test_managers_are_locked_with_a_key_that_can_be_changed() -> None:
    async def scenario(api: Api) -> None:
        async def change(query: str, *, locked: bool) -> str:
            _, now = await api.call("GET", "/swarm")
            spec = {**now["Spec"], "EncryptionConfig": {"AutoLockManagers": locked}}
            path = f"/swarm/update?version={now['Version']['Index']}{query}"
            assert (await api.call("POST", path, spec))[0] == 200
            assert (await api.call("GET", "/swarm"))[1]["Spec"]["EncryptionConfig"] == {"AutoLockManagers": locked}
            key: str = (await api.call("GET", "/swarm/unlockkey"))[1]["UnlockKey"]
            return key

        first = await change("", locked=True)
        assert first.startswith("SWMKEY-1-")
        assert await change("", locked=True) == first
        assert await change("&rotateManagerUnlockKey=1", locked=True) not in (first, "")
        assert await change("&rotateManagerUnlockKey=1", locked=False) == ""

    run(scenario)


def test_a_locked_manager_says_so_until_it_is_unlocked() -> None:
    lifecycle = FakeLifecycle(local=LocalNode(LocalNodeState.LOCKED, is_manager=True))

    async def scenario(api: Api) -> None:
        assert (await api.response("GET", "/_ping")).headers["Swarm"] == "locked"
        assert (await api.call("GET", "/info"))[1]["Swarm"]["LocalNodeState"] == "locked"
        for method, path in (("GET", "/nodes"), ("GET", "/swarm"), ("POST", "/swarm/leave")):
            assert await api.call(method, path) == (503, {"message": SWARM_LOCKED})
        message = "swarm could not be unlocked: invalid key provided"
        assert await api.call("POST", "/swarm/unlock", {"UnlockKey": "x"}) == (401, {"message": message})
        assert (await api.response("POST", "/swarm/unlock", json={"UnlockKey": UNLOCK_KEY})).status == 200
        assert (await api.response("GET", "/_ping")).headers["Swarm"] == "active/manager"

    run(scenario, lifecycle=lifecycle)
