"""`/secrets` and `/configs`."""

import base64
from typing import Any

import pytest

from tests.unit.api.client import Api, run

KINDS = ("secret", "config")
DATA = base64.b64encode(b"s3same").decode()


async def create_file(api: Api, kind: str, name: str = "key", data: bytes = b"s3same", **more: Any) -> str:
    body = {"Name": name, "Data": base64.b64encode(data).decode(), **more}
    status, answer = await api.call("POST", f"/{kind}s/create", body)
    assert status == 201, answer
    object_id: str = answer["ID"]
    return object_id


def with_file(kind: str, object_id: str, target: str = "key", name: str = "key") -> dict[str, Any]:
    title = kind.capitalize()
    file = {"Name": target, "UID": "0", "GID": "0", "Mode": 0o400}
    reference = {"File": file, f"{title}ID": object_id, f"{title}Name": name}
    return {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", f"{title}s": [reference]}}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_s_life(kind: str) -> None:
    async def scenario(api: Api) -> None:
        object_id = await create_file(api, kind, Labels={"a": "1"})
        status, found = await api.call("GET", f"/{kind}s/key")
        assert status == 200
        assert found["ID"] == object_id
        assert found["Spec"]["Name"] == "key"
        assert found["Spec"]["Labels"] == {"a": "1"}
        # The content of a secret is never given back.
        assert found["Spec"].get("Data") == (DATA if kind == "config" else None)
        assert (await api.call("GET", f"/{kind}s"))[1] == [found]

        version = found["Version"]["Index"]
        body = {"Name": "key", "Data": DATA, "Labels": {"b": "2"}}
        assert (await api.call("POST", f"/{kind}s/{object_id}/update?version={version}", body))[0] == 200
        status, answer = await api.call("POST", f"/{kind}s/{object_id}/update?version={version}", body)
        assert (status, answer["message"]) == (500, "rpc error: code = Unknown desc = update out of sequence")
        changed = (await api.call("GET", f"/{kind}s/{object_id}"))[1]
        assert changed["Spec"]["Labels"] == {"b": "2"}
        assert changed["Version"]["Index"] > version

        assert (await api.call("DELETE", f"/{kind}s/key"))[0] == 204
        status, answer = await api.call("GET", f"/{kind}s/key")
        assert (status, answer["message"]) == (404, f"{kind} key not found")

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Data": DATA}, 400, "rpc error: code = InvalidArgument desc = name must be provided"),
        (
            {"Name": "-x", "Data": DATA},
            400,
            "rpc error: code = InvalidArgument desc = invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and "
            "the start and end character must be [a-zA-Z0-9]",
        ),
        ({"Name": "key", "Data": DATA}, 409, "rpc error: code = AlreadyExists desc = {kind} key already exists"),
        (
            {"Name": "new"},
            400,
            "rpc error: code = InvalidArgument desc = {kind} data must be larger than 0 and less than {limit} bytes",
        ),
        (
            {"Name": "new", "Data": DATA, "Templating": {"Name": "jinja"}},
            501,
            "rpc error: code = Unimplemented desc = {kind} templating driver 'jinja' is not supported",
        ),
    ],
)
def test_what_cannot_be_created(kind: str, body: dict[str, Any], status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        await create_file(api, kind)
        limit = 512_000 if kind == "secret" else 1_024_000
        expected = message.format(kind=kind, limit=limit) if "{" in message else message
        answer = await api.call("POST", f"/{kind}s/create", body)
        assert answer == (status, {"message": expected})

    run(scenario)


def test_a_secret_driver_is_refused_by_name() -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/secrets/create", {"Name": "x", "Driver": {"Name": "vault"}})
        assert status == 501
        assert "secret driver 'vault' is not supported" in answer["message"]

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_is_shown_as_one(kind: str) -> None:
    async def scenario(api: Api) -> None:
        object_id = await create_file(api, kind, Templating={"Name": "golang"})
        found = (await api.call("GET", f"/{kind}s/{object_id}"))[1]
        assert found["Spec"]["Templating"] == {"Name": "golang"}
        body = {**found["Spec"], "Labels": {"b": "2"}}
        path = f"/{kind}s/{object_id}/update?version={found['Version']['Index']}"
        status, answer = await api.call("POST", path, {**body, "Templating": {"Name": ""}})
        assert (status, "only updates to Labels are allowed" in answer["message"]) == (400, True)
        assert (await api.call("POST", path, body))[0] == 200

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_labels_can_change(kind: str) -> None:
    async def scenario(api: Api) -> None:
        object_id = await create_file(api, kind)
        index = (await api.call("GET", f"/{kind}s/{object_id}"))[1]["Version"]["Index"]
        for body in ({"Name": "other"}, {"Name": "key", "Data": base64.b64encode(b"x").decode()}):
            answer = await api.call("POST", f"/{kind}s/{object_id}/update?version={index}", body)
            text = "rpc error: code = InvalidArgument desc = only updates to Labels are allowed"
            assert answer == (400, {"message": text})
        answer = await api.call("POST", f"/{kind}s/{object_id}/update", {"Name": "key"})
        assert answer == (400, {"message": f"invalid {kind} version"})

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_filters(kind: str) -> None:
    async def scenario(api: Api) -> None:
        first = await create_file(api, kind, "app-key", Labels={"tier": "front"})
        await create_file(api, kind, "app")
        for filters, expected in (
            ('{"name":["app"]}', ["app-key", "app"]),
            ('{"names":["app"]}', ["app"]),
            (f'{{"id":["{first[:5]}"]}}', ["app-key"]),
            ('{"label":["tier"]}', ["app-key"]),
            ('{"label":["tier=back"]}', []),
        ):
            listed = (await api.call("GET", f"/{kind}s", params={"filters": filters}))[1]
            assert [item["Spec"]["Name"] for item in listed] == expected, filters
        answer = await api.call("GET", f"/{kind}s", params={"filters": '{"color":["red"]}'})
        assert answer == (400, {"message": "invalid filter 'color'"})

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_holds_its_files(kind: str) -> None:
    async def scenario(api: Api) -> None:
        object_id = await create_file(api, kind)
        await api.create(Name="web", **with_file(kind, object_id))
        answer = await api.call("DELETE", f"/{kind}s/key")
        in_use = f"{kind} 'key' is in use by the following service: web"
        assert answer == (400, {"message": f"rpc error: code = InvalidArgument desc = {in_use}"})
        await api.create(Name="api", **with_file(kind, object_id))
        answer = await api.call("DELETE", f"/{kind}s/key")
        assert answer[1]["message"].endswith("in use by the following services: web, api")
        for name in ("web", "api"):
            await api.call("DELETE", f"/services/{name}")
        assert (await api.call("DELETE", f"/{kind}s/key"))[0] == 204

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_names_only_files_that_exist_each_under_its_own_target(kind: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.call("POST", "/services/create", {"Name": "web", **with_file(kind, "none", name="lost")})
        assert answer == (400, {"message": f"rpc error: code = InvalidArgument desc = {kind} not found: lost"})
        first, second = await create_file(api, kind, "one"), await create_file(api, kind, "two")
        spec = with_file(kind, first, name="one")
        other = with_file(kind, second, name="two")
        field = f"{kind.capitalize()}s"
        spec["TaskTemplate"]["ContainerSpec"][field] += other["TaskTemplate"]["ContainerSpec"][field]
        status, answer = await api.call("POST", "/services/create", {"Name": "web", **spec})
        assert status == 400
        assert "have a conflicting target: 'key'" in answer["message"]

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_rolling_back_to_a_removed_file_is_refused(kind: str) -> None:
    async def scenario(api: Api) -> None:
        object_id = await create_file(api, kind)
        service_id = await api.create(Name="web", **with_file(kind, object_id))
        plain = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}}
        for query, expected in (("", 200), ("&rollback=previous", 400)):
            index = (await api.call("GET", f"/services/{service_id}"))[1]["Version"]["Index"]
            status, answer = await api.call("POST", f"/services/{service_id}/update?version={index}{query}", plain)
            assert status == expected, answer
            await api.call("DELETE", f"/{kind}s/key")
        assert answer["message"].endswith(f"{kind} not found: key")

    run(scenario)


def test_a_secret_is_kept_sealed() -> None:
    async def scenario(api: Api) -> None:
        await create_file(api, "secret", data=b"plain text")
        (secret,) = api.backend.state.secrets.values()
        assert b"plain text" not in secret.sealed
        assert api.backend.vault.open(secret.id, secret.sealed) == b"plain text"

    run(scenario)
