"""What all answers have in common: headers, versions, refusals, and who may answer."""

import io

import pytest

from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.api.errors import MANAGER_NOT_READY, NOT_A_MANAGER, NOT_IN_SWARM, SWARM_LOCKED
from orchestrator.model.errors import NoLeader, TransitionRefused
from orchestrator.testing.cluster_backend import FakeEngineClient, FakeLifecycle, cluster_of_one
from tests.unit.api.client import IMAGE_SPEC, Api, manager, run

WORKER = LocalNode(LocalNodeState.ACTIVE, "w", "127.0.0.2")

NO_LEADER = (500, {"message": f"rpc error: code = Unknown desc = {NoLeader()}"})


def test_ping_says_what_a_client_asks_first() -> None:
    async def scenario(api: Api) -> None:
        for method, body in (("GET", b"OK"), ("HEAD", b"")):
            for path in ("/_ping", "/v1.45/_ping"):
                answer = await api.response(method, path)
                assert (answer.status, await answer.read()) == (200, body)
                assert answer.headers["Api-Version"] == "1.45"
                assert answer.headers["Ostype"] == "linux"
                assert answer.headers["Docker-Experimental"] == "false"
                assert answer.headers["Builder-Version"] == "2"
                assert answer.headers["Swarm"] == "active/manager"
                assert "no-cache" in answer.headers["Cache-Control"]
                assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"

    run(scenario)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (LocalNode(), "inactive"),
        (LocalNode(LocalNodeState.PENDING), "pending"),
        (WORKER, "active/worker"),
        (LocalNode(LocalNodeState.LOCKED), "locked"),
    ],
)
def test_ping_names_the_node_s_state(local: LocalNode, expected: str) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.response("GET", "/_ping")).headers["Swarm"] == expected

    run(scenario, lifecycle=FakeLifecycle(local=local))


@pytest.mark.parametrize(
    ("local", "message"),
    [
        (LocalNode(), NOT_IN_SWARM),
        (LocalNode(LocalNodeState.PENDING), NOT_IN_SWARM),
        (LocalNode(LocalNodeState.LOCKED), SWARM_LOCKED),
        (WORKER, NOT_A_MANAGER),
        (LocalNode(LocalNodeState.ACTIVE, "m", is_manager=True), MANAGER_NOT_READY),
    ],
)
def test_only_managers_answer_for_the_cluster(local: LocalNode, message: str) -> None:
    async def scenario(api: Api) -> None:
        for method, path in (("GET", "/nodes"), ("GET", "/v1.45/services"), ("POST", "/services/create")):
            assert await api.call(method, path) == (503, {"message": message})

    run(scenario, lifecycle=FakeLifecycle(local=local))


def test_a_follower_hands_requests_on_to_the_leader() -> None:
    backend = cluster_of_one()
    backend.is_leader = False

    async def scenario(api: Api) -> None:
        assert await api.call("GET", "/v1.45/services") == (200, {"forwarded": "/v1.45/services"})
        assert backend.forwarded == [("GET", "/v1.45/services")]
        status, _ = await api.call("GET", "/info")
        assert status == 200
        assert len(backend.forwarded) == 1

    run(scenario, lifecycle=manager(backend))


def test_a_forwarded_request_is_never_handed_on_again() -> None:
    backend = cluster_of_one()
    backend.is_leader = False

    async def scenario(api: Api) -> None:
        assert await api.call("GET", "/services") == (
            500,
            {"message": f"rpc error: code = Unknown desc = {NoLeader()}"},
        )
        assert not backend.forwarded

    run(scenario, lifecycle=manager(backend), forwards=False)


def test_versions_out_of_range_are_refused() -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("GET", "/v1.99/services")
        assert (status, answer["message"]) == (
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.45",
        )
        status, answer = await api.call("GET", "/v1.10/services")
        assert status == 400
        assert answer["message"].startswith("client version 1.10 is too old. Minimum supported API version is 1.24")

    run(scenario)


def test_unknown_paths_and_verbs_are_not_found() -> None:
    async def scenario(api: Api) -> None:
        for method, path in (("GET", "/swarm/nope"), ("DELETE", "/services"), ("PUT", "/v1.45/nodes")):
            assert await api.call(method, path) == (404, {"message": "page not found"})

    run(scenario)


@pytest.mark.parametrize(
    ("data", "content_type", "message"),
    [
        (b"{", "application/json", "invalid JSON: Input data was truncated"),
        (b"[]", "application/json", "invalid JSON: Expected `object`, got `array`"),
        (b"NaN", "application/json", "invalid JSON: "),
        (b"[" * 100_000, "application/json", "invalid JSON: "),
        (b'{"Name": 1}', "application/json", "invalid JSON: Expected `str`, got `int` - at `$.Name`"),
        (b'{"Mode": {"Replicated": {"Replicas": "3"}}}', "application/json", "Expected `int | null`, got `str`"),
        (b'{"Mode": {"Replicated": {"Replicas": 1e40}}}', "application/json", "Expected `int | null`"),
        (b'{"Name": "\\ud800"}', "application/json", "invalid JSON: "),
        (b"Name=web", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"),
    ],
)
def test_a_malformed_body_is_a_bad_request(data: bytes, content_type: str, message: str) -> None:
    async def scenario(api: Api) -> None:
        headers = {"Content-Type": content_type}
        answer = await api.response("POST", "/services/create", data=data, headers=headers)
        assert answer.status == 400
        assert message in (await answer.json())["message"]

    run(scenario)


def test_bytes_that_are_no_text_do_not_break_the_answer() -> None:
    async def scenario(api: Api) -> None:
        for path in ("/services/%ff%fe", "/nodes?filters=%ff", "/services?filters=%7B%22%5Cud800%22:%5B%5D%7D"):
            status, answer = await api.call("GET", path)
            assert 400 <= status < 500
            assert answer["message"]

    run(scenario)


def test_a_body_beyond_the_limit_is_refused() -> None:
    async def scenario(api: Api) -> None:
        answer = await api.response("POST", "/services/create", data=io.BytesIO(b" " * (5 * 1024 * 1024)))
        assert answer.status == 413

    run(scenario)


def test_a_bug_is_one_line_for_the_user() -> None:
    backend = cluster_of_one()
    backend.failures.append(RuntimeError("secret detail"))

    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/services/create", IMAGE_SPEC)
        assert (status, answer) == (500, {"message": "internal error: see the log of swarmd"})

    run(scenario, lifecycle=manager(backend))


def test_a_lost_race_is_proposed_again_and_never_shown() -> None:
    backend = cluster_of_one()
    backend.failures += [TransitionRefused("task: agent may not move"), TransitionRefused("again")]

    async def scenario(api: Api) -> None:
        await api.create()
        backend.failures += [TransitionRefused("internal words")] * 3
        status, answer = await api.call("DELETE", "/services/web")
        assert (status, answer) == (503, {"message": "the cluster changed at the same time: please try again"})

    run(scenario, lifecycle=manager(backend))


def test_no_leader_is_unavailable() -> None:
    backend = cluster_of_one()
    backend.failures.append(NoLeader())

    async def scenario(api: Api) -> None:
        assert await api.call("POST", "/services/create", IMAGE_SPEC) == (
            500,
            {"message": f"rpc error: code = Unknown desc = {NoLeader()}"},
        )

    run(scenario, lifecycle=manager(backend))


@pytest.mark.parametrize("leads", [True, False], ids=["the leader that was", "another manager"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/swarm"),
        ("GET", "/nodes"),
        ("GET", "/services"),
        ("GET", "/services/web"),
        ("DELETE", "/services/web"),
        ("GET", "/tasks"),
        ("GET", "/secrets"),
        ("GET", "/configs/one"),
        ("POST", "/networks/create"),
    ],
)
def test_without_a_leader_nothing_is_answered_from_what_is_here(method: str, path: str, leads: bool) -> None:
    backend = cluster_of_one()
    backend.is_leader, backend.has_leader = leads, False

    async def scenario(api: Api) -> None:
        body = {"Name": "net", "Driver": "overlay"} if method == "POST" else None
        assert await api.call(method, path, body) == NO_LEADER
        assert not backend.proposed[2:]

    run(scenario, lifecycle=manager(backend), forwards=False)


def test_without_a_leader_networks_are_those_the_node_carries() -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        assert [network["Name"] for network in (await api.call("GET", "/networks"))[1]] == ["ingress"]
        backend.has_leader = False
        assert await api.call("GET", "/networks") == (200, [])

    run(scenario, lifecycle=manager(backend))


def test_info_says_that_there_is_no_leader() -> None:
    backend = cluster_of_one()
    lifecycle = manager(backend)
    backend.leader_node_id = None

    async def scenario(api: Api) -> None:
        _, info = await api.call("GET", "/info")
        swarm = info["Swarm"]
        assert (swarm["LocalNodeState"], swarm["ControlAvailable"]) == ("active", True)
        assert swarm["Error"] == NO_LEADER[1]["message"]
        assert swarm.get("Cluster") is None

    run(scenario, lifecycle=lifecycle)


def test_version_is_the_engine_s_with_our_api_version() -> None:
    engine = FakeEngineClient()
    engine.answers["/version"]["ApiVersion"] = "1.41"

    async def scenario(api: Api) -> None:
        status, answer = await api.call("GET", "/v1.45/version")
        assert (status, answer["Version"], answer["ApiVersion"]) == (200, "26.1.5", "1.45")
        assert answer["Components"][0]["Details"]["ApiVersion"] == "1.45"

    run(scenario, engine=engine)


def test_an_engine_that_does_not_answer_is_unavailable() -> None:
    async def scenario(api: Api) -> None:
        assert await api.call("GET", "/info") == (503, {"message": "the engine does not answer"})

    run(scenario, engine=FakeEngineClient(answers={}))


def test_info_on_a_manager_shows_the_cluster() -> None:
    async def scenario(api: Api) -> None:
        _, answer = await api.call("GET", "/info")
        swarm = answer["Swarm"]
        assert answer["Name"] == "n1"
        assert swarm["LocalNodeState"] == "active"
        assert swarm["ControlAvailable"] is True
        assert (swarm["Nodes"], swarm["Managers"]) == (1, 1)
        assert swarm["Cluster"]["Spec"]["Raft"] == {
            "SnapshotInterval": 10000,
            "KeepOldSnapshots": 0,
            "LogEntriesForSlowFollowers": 500,
            "ElectionTick": 10,
            "HeartbeatTick": 1,
        }
        assert "JoinTokens" not in swarm["Cluster"]

    run(scenario)


def test_info_on_a_worker_and_outside_a_swarm() -> None:
    async def worker(api: Api) -> None:
        _, answer = await api.call("GET", "/info")
        assert answer["Swarm"] == {
            "NodeID": "w",
            "NodeAddr": "127.0.0.2",
            "LocalNodeState": "active",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        }

    run(worker, lifecycle=FakeLifecycle(local=WORKER))

    async def outside(api: Api) -> None:
        _, answer = await api.call("GET", "/info")
        assert answer["Swarm"]["LocalNodeState"] == "inactive"

    run(outside, lifecycle=FakeLifecycle())
