"""Specs of every shape, on their whole way: read, refused or taken, decided on, shown again, and made a container."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.api.convert.files import payload_from_wire
from orchestrator.api.convert.network import resource_of, wish_from_wire
from orchestrator.api.convert.node import spec_from_wire as node_from_wire
from orchestrator.api.convert.service import service_to_wire, spec_from_wire
from orchestrator.api.convert.swarm import cluster_to_wire
from orchestrator.api.convert.swarm import spec_from_wire as cluster_from_wire
from orchestrator.api.convert.task import task_to_wire
from orchestrator.api.errors import RequestError
from orchestrator.api.list_filters import parse_filters
from orchestrator.api.requests import parse_object
from orchestrator.api.wire.files import FileSpec
from orchestrator.api.wire.network import NetworkCreate
from orchestrator.api.wire.node import NodeSpec
from orchestrator.api.wire.service import ServiceSpec as WireService
from orchestrator.api.wire.swarm import SwarmSpec
from orchestrator.control.cluster_rules import validate_cluster_spec
from orchestrator.control.constraints import node_matches, parse_constraints
from orchestrator.control.file_validation import validate_file
from orchestrator.control.loop import reconcile
from orchestrator.control.network_admission import admit_network
from orchestrator.control.network_configuration import configuration_for
from orchestrator.control.plan import Plan
from orchestrator.control.service_admission import admit_service
from orchestrator.control.service_validation import validate_service
from orchestrator.executor.container_rules import create_body
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import ClusterError
from orchestrator.model.files import FileKind
from orchestrator.model.service import Service
from orchestrator.state import actions as act
from orchestrator.state.codec import decode_state, encode_state
from tests.builders import Scene, a_node
from tests.unit.api.fuzz.bounds import bounded
from tests.unit.api.fuzz.nonsense import JSON, TEXTS, anything_like

REFUSALS = (ClusterError, RequestError)
MANY_TASKS = 50
INT64 = range(-(2**63), 2**63)


def is_readable(value: Any) -> bool:
    """Whether clients written in Go can read the JSON: no number beyond theirs."""
    if isinstance(value, dict):
        return all(map(is_readable, value.values()))
    if isinstance(value, list):
        return all(map(is_readable, value))
    return not isinstance(value, int) or value in INT64


def shown(value: Any) -> Any:
    """What the API writes."""
    return json.loads(msgspec.json.encode(value))


def settle(scene: Scene) -> None:
    """Let the deciders do what there is to do now."""
    scene.hear()
    plan: Plan = reconcile(scene.situation)
    assert not plan.problems
    if plan.actions:
        scene.apply(*plan.actions)


@st.composite
def services(draw: st.DrawFn) -> Any:
    """Service specs, most of which have what every one must."""
    spec = draw(anything_like(WireService))
    if isinstance(spec, dict) and draw(st.integers(0, 3)):
        spec["Name"] = "web"
        template = spec["TaskTemplate"] = spec.get("TaskTemplate") or {}
        if isinstance(template, dict):
            template["Runtime"], template["PluginSpec"], template["NetworkAttachmentSpec"] = "container", None, None
            container = template["ContainerSpec"] = template.get("ContainerSpec") or {}
            if isinstance(container, dict):
                container["Image"] = "nginx:1"
    return spec


def live_through(scene: Scene, spec: Any) -> bool:
    """Whether the service was taken; if so it has been decided on, kept, shown and made a container."""
    try:
        wanted = spec_from_wire(parse_object(spec, WireService))
        validate_service(wanted)
        admit_service(scene.state, wanted)
        scene.apply(act.CreateService(Service("s1", wanted, spec_version=0)))
    except REFUSALS:
        return False
    if wanted.desired_replicas > MANY_TASKS or (wanted.max_concurrent or 0) > MANY_TASKS:
        return True
    for _ in range(3):
        settle(scene)
        scene.now += 10.0
    assert encode_state(decode_state(encode_state(scene.state))) == encode_state(scene.state)
    for service in scene.state.services.values():
        assert is_readable(shown(service_to_wire(service)))
    for task in scene.state.tasks.values():
        assert is_readable(shown(task_to_wire(task, scene.state)))
        try:
            json.dumps(create_body(task, scene.state.nodes["n1"].description))
        except REFUSALS:
            continue
    configuration_for(scene.state, "n1")
    return True


@bounded(150)
@given(services())
def test_services(spec: Any) -> None:
    live_through(Scene([a_node("n1")]), spec)


@pytest.mark.parametrize(
    "change",
    [
        {"Mode": {"Replicated": {"Replicas": 3}}},
        {"Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2**62}}},
        {"UpdateConfig": {"Delay": 2**63 - 1, "Monitor": 2**63 - 1}},
        {"TaskTemplate": {"RestartPolicy": {"Delay": 2**63 - 1, "Window": 2**63 - 1}}},
        {"TaskTemplate": {"Resources": {"Reservations": {"NanoCPUs": 2**63 - 1, "MemoryBytes": 2**63 - 1}}}},
        {"TaskTemplate": {"Placement": {"Constraints": ["node.ip!=999"], "MaxReplicas": 2**63 - 1}}},
        {"TaskTemplate": {"ContainerSpec": {"StopGracePeriod": 2**63 - 1, "OomScoreAdj": 2**63 - 1}}},
        {"Labels": {"swarm.drain-timeout": "9" * 60 + "h"}},
    ],
)
def test_extremes_that_are_taken(change: dict[str, Any]) -> None:
    """The way is walked to its end here, which random specs seldom do."""
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}, **change}
    template = {**change.get("TaskTemplate", {})}
    template["ContainerSpec"] = {**template.get("ContainerSpec", {}), "Image": "nginx:1"}
    assert live_through(Scene([a_node("n1")]), {**spec, "TaskTemplate": template})


@pytest.mark.parametrize(
    "change",
    [
        {"Name": "a" * 62 + "!"},
        {"Name": "-" * 4096},
        {"Name": "a" * 1_000_000},
        {"TaskTemplate": {"ContainerSpec": {"Image": "a/" * 500_000}}},
        {"TaskTemplate": {"ContainerSpec": {"Image": "a" * 1_000_000 + "!"}}},
        {"Labels": {"swarm.drain-timeout": "9" * 1_000_000}},
        {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}, "Placement": {"Constraints": ["a" * 1_000_000]}}},
        {"Mode": {"Replicated": {"Replicas": 2**63 - 1}}},
        {"Mode": {"ReplicatedJob": {"MaxConcurrent": 2**63 - 1}}},
    ],
    ids=lambda change: str(change)[:40],
)
@pytest.mark.timeout(10)
def test_what_would_take_for_ever_is_refused_at_once(change: dict[str, Any]) -> None:
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}, **change}
    assert not live_through(Scene([a_node("n1")]), spec)


@bounded(150)
@given(anything_like(NetworkCreate))
def test_networks(body: Any) -> None:
    scene = Scene([a_node("n1")])
    assert scene.state.cluster is not None
    try:
        wish = wish_from_wire(parse_object(body, NetworkCreate))
        network = admit_network(scene.state, scene.state.cluster, wish, "x1")
        scene.apply(act.CreateNetwork(network))
    except REFUSALS:
        return
    settle(scene)
    assert is_readable(shown(resource_of(network)))


@bounded(150)
@given(anything_like(SwarmSpec))
def test_clusters(body: Any) -> None:
    scene = Scene([a_node("n1")])
    try:
        spec = cluster_from_wire(parse_object(body, SwarmSpec))
        validate_cluster_spec(spec)
    except REFUSALS:
        return
    assert scene.state.cluster is not None
    scene.apply(act.UpdateClusterSpec(scene.state.cluster.version, spec))
    settle(scene)
    assert is_readable(shown(cluster_to_wire(scene.state.cluster, with_tokens=True)))
    # Read back as it was shown, it is the same settings: `docker swarm update` sends the whole.
    body = shown(cluster_to_wire(scene.state.cluster, with_tokens=True))["Spec"]
    assert cluster_from_wire(parse_object(body, SwarmSpec)).heartbeat_period == pytest.approx(spec.heartbeat_period)


def test_no_heartbeat_is_too_short_to_live_by() -> None:
    assert ClusterSpec(heartbeat_period=1e-9).beat == pytest.approx(0.1)


@bounded(150)
@given(anything_like(FileSpec), st.sampled_from(FileKind))
def test_files(body: Any, kind: FileKind) -> None:
    try:
        spec = parse_object(body, FileSpec)
        validate_file(kind, spec.name, payload_from_wire(spec))
    except REFUSALS:
        return


@bounded(150)
@given(anything_like(NodeSpec))
def test_nodes(body: Any) -> None:
    scene = Scene([a_node("n1")])
    try:
        spec = node_from_wire(parse_object(body, NodeSpec))
        scene.apply(act.UpdateNodeSpec("n1", scene.state.nodes["n1"].version, spec))
    except REFUSALS:
        return
    settle(scene)


@bounded(150)
@given(st.lists(TEXTS, max_size=3))
def test_constraints(texts: list[str]) -> None:
    try:
        parse_constraints(texts)
    except ClusterError:
        return
    node_matches(a_node("n1"), texts)


@bounded(150)
@given(JSON | st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2)))
def test_filters(value: Any) -> None:
    try:
        filters = parse_filters(json.dumps(value))
        for name in value if isinstance(value, dict) else ():
            filters.patterns(name)
            filters.labels(name, [("a", "b")])
            filters.choice(name, ("web",))
    except RequestError:
        return


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)" * 30, "a*" * 30 + "b", "(?:a?){60}a{60}", "a" * 5000, "[a]*[a]*[a]*[a]*b"]
)
@pytest.mark.timeout(10)
def test_a_pattern_that_would_take_for_ever_is_refused(pattern: str) -> None:
    filters = parse_filters(json.dumps({"name": [pattern]}))
    with pytest.raises(RequestError, match="invalid filter 'name'"):
        filters.patterns("name")


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.timeout(60)
@bounded(150)
@given(st.from_regex(r"[ab.*+?|()\[\]\\^$]{0,24}", fullmatch=True))
def test_every_other_pattern_is_matched_in_no_time(text: str) -> None:
    try:
        patterns = parse_filters(json.dumps({"name": [text]})).patterns("name")
    except RequestError:
        assume(False)
    for pattern in patterns:
        pattern.is_in("a" * 62 + "!")


@pytest.mark.parametrize("pattern", ["^web$", "web", "we.*", "(web|db)", r"^w\.b|web$", "[*+?|(){]|web"])
def test_patterns_that_people_write_work(pattern: str) -> None:
    (found,) = parse_filters(json.dumps({"name": [pattern]})).patterns("name")
    assert found.is_in("web")
    assert not found.is_in("xyz")


@pytest.mark.parametrize("depth", [100, 900, 5000, 100_000])
def test_deep_nesting_is_refused_or_taken_never_a_crash(depth: int) -> None:
    nested: Any = msgspec.Raw(b'{"a":' * depth + b"1" + b"}" * depth)
    raw = msgspec.json.encode({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Privileges": nested}}})
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return
    live_through(Scene([a_node("n1")]), value)


def test_random_services_are_not_all_refused() -> None:
    """Else the property above would hold of anything."""
    taken = [0]

    @bounded(100)
    @given(services())
    def count(spec: Any) -> None:
        taken[0] += live_through(Scene([a_node("n1")]), spec)

    count()
    assert taken[0] >= 10
