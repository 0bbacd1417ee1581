"""Services over HTTP: what is stored, what is shown, what is refused and in which words."""

from typing import Any

import pytest

from orchestrator.model.service import PortConfig, UpdateState, UpdateStatus
from orchestrator.model.task import TaskState
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import START, cluster_of_one
from tests.unit.api.client import IMAGE_SPEC, Api, manager, run
from tests.unit.api.served import run_tasks

RPC = "rpc error: code = {} desc = {}"


def template(**container: Any) -> dict[str, Any]:
    return {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", **container}}}


def published(port: int, mode: str = "ingress") -> dict[str, Any]:
    return {"EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": port, "PublishMode": mode}]}}


def test_create_and_inspect() -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/v1.45/services/create", IMAGE_SPEC)
        assert status == 201
        assert answer == {"ID": answer["ID"], "Warnings": None}
        status, service = await api.call("GET", "/services/web")
        assert status == 200
        assert service["ID"] == answer["ID"]
        assert service["Version"] == {"Index": api.backend.state.index}
        assert service["CreatedAt"] == "2026-11-23T18:50:31.5Z"
        assert service["Endpoint"] == {"Spec": {}}
        assert "PreviousSpec" not in service
        assert "UpdateStatus" not in service
        assert (await api.call("GET", f"/services/{answer['ID'][:9]}"))[1] == service

    run(scenario)


def test_a_service_without_a_name_gets_one() -> None:
    async def scenario(api: Api) -> None:
        await api.create(Name="")
        (service,) = api.backend.state.services.values()
        assert "_" in service.name

    run(scenario)


def test_what_the_allocator_and_updater_added_is_shown() -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create(**published(0))
        service = api.backend.state.service(service_id)
        port = PortConfig(80, 30000)
        api.backend.apply(act.AllocateService(service_id, (port,), (("net", "10.0.0.2/24"),)))
        begun = UpdateStatus(UpdateState.UPDATING, START)
        status = UpdateStatus(UpdateState.COMPLETED, START, START + 2, "update completed")
        for progress in (begun, status):
            api.backend.apply(act.SetUpdateStatus(service_id, service.spec_version, progress))
        _, answer = await api.call("GET", "/services/web")
        assert answer["Endpoint"]["Ports"] == [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 30000, "PublishMode": "ingress"}
        ]
        assert answer["Endpoint"]["VirtualIPs"] == [{"NetworkID": "net", "Addr": "10.0.0.2/24"}]
        assert answer["UpdateStatus"] == {
            "State": "completed",
            "StartedAt": "2026-11-23T18:50:31.5Z",
            "CompletedAt": "2026-11-23T18:50:33.5Z",
            "Message": "update completed",
        }

    run(scenario)


def test_list_with_status_and_filters() -> None:
    async def scenario(api: Api) -> None:
        await api.create(Mode={"Replicated": {"Replicas": 3}}, Labels={"tier": "front"})
        await api.create(Name="agent", Mode={"Global": {}})
        run_tasks(api.backend)
        _, services = await api.call("GET", "/services?status=true")
        assert services[0]["ServiceStatus"] == {"RunningTasks": 3, "DesiredTasks": 3, "CompletedTasks": 0}
        _, services = await api.call("GET", "/services")
        assert "ServiceStatus" not in services[0]
        for filters, names in (
            ('{"mode":["global"]}', ["agent"]),
            ('{"label":["tier=front"]}', ["web"]),
            ('{"name":{"w":true}}', ["web"]),
            ('{"runtime":["plugin"]}', []),
        ):
            _, found = await api.call("GET", "/services", params={"filters": filters})
            assert [service["Spec"]["Name"] for service in found] == names
        assert await api.call("GET", "/services", params={"filters": '{"node":["x"]}'}) == (
            400,
            {"message": "invalid filter 'node'"},
        )
        assert (await api.call("GET", "/services?status=maybe"))[0] == 400

    run(scenario)


def test_update_rollback_and_back() -> None:
    async def scenario(api: Api) -> None:
        await api.create()
        for image in ("nginx:2", None, None):
            _, service = await api.call("GET", "/services/web")
            query = {"version": str(service["Version"]["Index"]), **({} if image else {"rollback": "previous"})}
            spec = service["Spec"]
            spec["TaskTemplate"]["ContainerSpec"]["Image"] = image or "nginx:9"
            assert await api.call("POST", "/services/web/update", spec, params=query) == (200, {"Warnings": None})
        _, service = await api.call("GET", "/services/web")
        assert service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:2"
        assert service["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1"
        assert service["UpdateStatus"]["State"] == "rollback_started"
        assert service["UpdateStatus"]["Message"] == "manually requested rollback"

    run(scenario)


def test_an_update_that_says_the_same_starts_none() -> None:
    async def scenario(api: Api) -> None:
        await api.create(**template(Env=["A=b"]), **published(8080))
        run_tasks(api.backend)
        _, service = await api.call("GET", "/services/web?insertDefaults=false")
        before = api.backend.state.service(service["ID"]).spec_version
        path = f"/services/web/update?version={service['Version']['Index']}"
        assert (await api.call("POST", path, service["Spec"]))[0] == 200
        after = api.backend.state.service(service["ID"])
        assert after.spec_version == before
        assert after.update_status is None

    run(scenario)


@pytest.mark.parametrize(
    ("container", "complaint"),
    [
        ({"Privileges": {"SELinuxContext": "x"}}, "invalid JSON: Expected `object | null`, got `str`"),
        ({"Privileges": {"Seccomp": 5}}, "invalid JSON: Expected `object`, got `int`"),
        ({"Privileges": {"NoNewPrivileges": "yes"}}, "invalid JSON: Expected `bool`, got `str`"),
        ({"Privileges": {"Seccomp": {"Mode": "weird"}}}, 'invalid Seccomp mode: "weird"'),
        ({"Privileges": {"Seccomp": {"Mode": "custom", "Profile": "%"}}}, "invalid Seccomp profile: not base64"),
        ({"Privileges": {"AppArmor": {"Mode": "weird"}}}, 'invalid AppArmor mode: "weird"'),
        ({"Mounts": [{"BindOptions": {"Propagation": 5}}]}, "invalid JSON: Expected `str`, got `int`"),
        ({"Mounts": [{"BindOptions": {"Propagation": "weird"}}]}, 'invalid MountPropagation: "weird"'),
        ({"Mounts": [{"Type": "tmpfs", "TmpfsOptions": {"SizeBytes": "x"}}]}, "invalid JSON: Expected `int`"),
    ],
)
def test_what_is_wrong_inside_a_container_s_options(container: dict[str, Any], complaint: str) -> None:
    async def scenario(api: Api) -> None:
        body = {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", **container}}}
        status, answer = await api.call("POST", "/services/create", body)
        assert status == 400
        assert answer["message"].startswith(complaint)

    run(scenario)


@pytest.mark.parametrize(
    ("query", "changes", "status", "message"),
    [
        ("", {}, 400, "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax"),
        ("?version=-1", {}, 400, "invalid service version '-1': strconv.ParseUint: parsing \"-1\": invalid syntax"),
        ("?version=1", {}, 500, RPC.format("Unknown", "update out of sequence")),
        ("?version=1", {"Name": "x"}, 501, RPC.format("Unimplemented", "renaming services is not supported")),
        (
            "?version=1",
            {"Mode": {"Global": {}}},
            501,
            RPC.format("Unimplemented", "service mode change is not allowed"),
        ),
        ("?version=1&rollback=next", {}, 400, "unrecognized rollback option next"),
        ("?version=1&registryAuthFrom=x", {}, 400, "unsupported registryAuthFrom value"),
        (
            "?version=1&registryAuthFrom=previous-spec",
            {},
            400,
            RPC.format("FailedPrecondition", "service does not have a previous spec"),
        ),
    ],
)
def test_refused_updates(query: str, changes: Any, status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        await api.create()
        answer = await api.call("POST", f"/services/web/update{query}", {**IMAGE_SPEC, **changes})
        assert answer == (status, {"message": message})

    run(scenario)


def test_a_rollback_with_nothing_to_go_back_to() -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create()
        path = f"/services/web/update?version={api.backend.state.index}&rollback=previous"
        message = RPC.format("FailedPrecondition", f"service {service_id} does not have a previous spec")
        assert await api.call("POST", path, IMAGE_SPEC) == (400, {"message": message})

    run(scenario)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({}, 409, RPC.format("AlreadyExists", "name conflicts with an existing object: service web already exists")),
        ({"Name": "a b"}, 400, RPC.format("InvalidArgument", "name must be valid as a DNS name component")),
        ({"Name": "x", "TaskTemplate": {}}, 400, "mismatched Runtime and *Spec fields"),
        (
            {"Name": "x", "Mode": {"Replicated": {"Replicas": -1}}},
            400,
            "invalid JSON: json: cannot unmarshal number -1 into Go struct field "
            "ReplicatedService.Mode.Replicated.Replicas of type uint64",
        ),
        (
            {"Name": "x", "TaskTemplate": {**IMAGE_SPEC["TaskTemplate"], "ForceUpdate": -1}},
            400,
            "invalid JSON: json: cannot unmarshal number -1 into Go struct field TaskSpec.TaskTemplate.ForceUpdate "
            "of type uint64",
        ),
        (
            {"Name": "x", "EndpointSpec": {"Ports": [{"TargetPort": 1}, {"TargetPort": -2}]}},
            400,
            "invalid JSON: json: cannot unmarshal number -2 into Go struct field "
            "PortConfig.EndpointSpec.Ports.TargetPort of type uint32",
        ),
        (
            {"Name": "x", "TaskTemplate": {**IMAGE_SPEC["TaskTemplate"], "Placement": {"Constraints": ["foo"]}}},
            500,
            RPC.format("Unknown", "constraint expected one operator from ==, !="),
        ),
        (
            {"Name": "x", "TaskTemplate": {**IMAGE_SPEC["TaskTemplate"], "Networks": [{"Target": "nope"}]}},
            404,
            "network nope not found",
        ),
        (
            {"Name": "x", "TaskTemplate": {**IMAGE_SPEC["TaskTemplate"], "Networks": [{"Target": "ingress"}]}},
            400,
            RPC.format("InvalidArgument", 'Service cannot be explicitly attached to the ingress network "ingress"'),
        ),
    ],
)
def test_refused_creations(changes: Any, status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        await api.create()
        before = api.backend.state.index
        answer = await api.call("POST", "/services/create", {**IMAGE_SPEC, **changes})
        assert answer == (status, {"message": message})
        assert api.backend.state.index == before

    run(scenario)


@pytest.mark.parametrize(("mode", "words"), [("ingress", "an ingress port"), ("host", "a host-published port")])
def test_a_published_port_belongs_to_one_service(mode: str, words: str) -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create(**published(8080, mode))
        status, answer = await api.call("POST", "/services/create", {**IMAGE_SPEC, "Name": "x", **published(8080)})
        in_use = f"port '8080' is already in use by service 'web' ({service_id}) as {words}"
        assert (status, answer) == (400, {"message": RPC.format("InvalidArgument", in_use)})

    run(scenario)


def test_services_share_a_host_port() -> None:
    async def scenario(api: Api) -> None:
        await api.create(**published(8080, "host"))
        await api.create(Name="x", **published(8080, "host"))

    run(scenario)


def test_registry_credentials_are_kept_for_the_nodes_and_never_shown() -> None:
    async def scenario(api: Api) -> None:
        headers = {"X-Registry-Auth": "c2VjcmV0"}
        await api.call("POST", "/services/create", IMAGE_SPEC, headers=headers)
        (service,) = api.backend.state.services.values()
        assert service.spec.task.container.registry_auth == "c2VjcmV0"
        assert "c2VjcmV0" not in str(await api.call("GET", "/services/web"))
        await api.call("POST", f"/services/web/update?version={service.version}", IMAGE_SPEC)
        assert api.backend.state.service(service.id).spec.task.container.registry_auth == "c2VjcmV0"

    run(scenario)


@pytest.mark.parametrize("call", ["create", "web/update?version={version}"])
def test_registry_credentials_that_are_not_base64_are_refused(call: str) -> None:
    async def scenario(api: Api) -> None:
        await api.create()
        (service,) = api.backend.state.services.values()
        path = f"/services/{call.format(version=service.version)}"
        status, answer = await api.call("POST", path, IMAGE_SPEC, headers={"X-Registry-Auth": "schlüssel"})
        assert (status, answer["message"]) == (400, "invalid X-Registry-Auth header: it is not base64url")

    run(scenario)


def test_remove() -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create()
        run_tasks(api.backend)
        assert (await api.response("DELETE", "/services/web")).status == 200
        assert await api.call("DELETE", "/services/web") == (404, {"message": "service web not found"})
        assert api.backend.state.tasks_of_service(service_id)[0].desired_state is TaskState.REMOVE

    run(scenario)


def test_jobs_show_their_execution() -> None:
    backend = cluster_of_one()

    async def scenario(api: Api) -> None:
        await api.create(Mode={"ReplicatedJob": {"TotalCompletions": 4}})
        _, service = await api.call("GET", "/services/web")
        assert service["JobStatus"] == {"JobIteration": {}, "LastExecution": "2026-11-23T18:50:31.5Z"}
        _, services = await api.call("GET", "/services?status=1")
        assert services[0]["ServiceStatus"] == {"RunningTasks": 0, "DesiredTasks": 1, "CompletedTasks": 0}

    run(scenario, lifecycle=manager(backend))
