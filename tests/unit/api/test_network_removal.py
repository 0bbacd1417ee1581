"""Networks that go: what keeps one, and what prune spares."""

import json

import pytest

from orchestrator.testing.cluster_backend import cluster_of_one
from tests.unit.api.client import IMAGE_SPEC, Api, manager, run
from tests.unit.api.networks_engine import Engine, create


def test_a_network_in_use_is_kept() -> None:
    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet")
        template = {**IMAGE_SPEC["TaskTemplate"], "Networks": [{"Target": "webnet", "Aliases": ["w"]}]}
        service_id = await api.create(TaskTemplate=template)
        service = (await api.call("GET", f"/services/{service_id}"))[1]
        assert service["Spec"]["TaskTemplate"]["Networks"] == [{"Target": network_id, "Aliases": ["w"]}]
        status, answer = await api.call("DELETE", "/networks/webnet")
        text = f"rpc error: code = FailedPrecondition desc = network {network_id} is in use by service {service_id}"
        assert (status, answer["message"]) == (400, text)
        assert (await api.call("DELETE", "/services/web"))[0] == 200
        assert (await api.call("DELETE", "/networks/webnet"))[0] == 204

    run(scenario, engine=Engine())


@pytest.mark.parametrize("forwards", [True, False])
def test_what_is_attached_on_any_node_keeps_a_network(forwards: bool) -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        for name in ("held", "free"):
            await create(api, name, Attachable=True)
        held = backend.state.network_named("held")
        assert held is not None
        backend.attachments[held.id] = {"n2": "byhand"}
        status, answer = await api.call("DELETE", f"/networks/{held.id}")
        assert (status, "is in use by container byhand on node n2" in answer["message"]) == (400, True)
        assert "held" not in (await api.call("POST", "/networks/prune"))[1]["NetworksDeleted"]
        assert backend.state.network_named("free") is None
        del backend.attachments[held.id]
        assert (await api.call("DELETE", f"/networks/{held.id}"))[0] == 204

    run(scenario, lifecycle=manager(backend), engine=Engine(), forwards=forwards)


def test_prune_spares_shares_and_what_is_used() -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        await create(api, "unused")
        await create(api, "used")
        template = {**IMAGE_SPEC["TaskTemplate"], "Networks": [{"Target": "used"}]}
        await api.create(TaskTemplate=template)
        assert (await api.call("POST", "/networks/prune"))[1] == {"NetworksDeleted": ["mine", "unused"]}
        passed = next(request for request in engine.requests if request[1] == "/networks/prune")
        assert json.loads(passed[2]["filters"]) == {"label!": ["com.docker.swarm.network.id"]}

    run(scenario, engine=engine)


def test_prune_spares_what_is_too_young() -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        await create(api, "old")
        backend.time += 7200
        await create(api, "young")
        filters = json.dumps({"until": {"1h": True}})
        answer = await api.call("POST", f"/networks/prune?filters={filters}")
        assert answer[1] == {"NetworksDeleted": ["mine", "old"]}

    run(scenario, lifecycle=manager(backend), engine=Engine())


def test_prune_on_a_manager_that_does_not_lead_is_the_leaders_too() -> None:
    backend = cluster_of_one()
    backend.is_leader = False

    async def scenario(api: Api) -> None:
        answer = await api.call("POST", "/networks/prune")
        assert answer[1] == {"NetworksDeleted": ["mine", "leaders"]}
        assert backend.forwarded == [("POST", "/networks/prune")]

    run(scenario, lifecycle=manager(backend), engine=Engine())
