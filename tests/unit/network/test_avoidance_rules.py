"""What balancers and names are while nodes are held dead."""

from dataclasses import replace

from orchestrator.model.names import NamedService, NamedTask, NetworkNames
from orchestrator.model.network import AttachedNetwork, BalancedService, Endpoint, NetworkConfiguration
from orchestrator.model.service import PortConfig
from orchestrator.network.avoidance_rules import without_nodes
from orchestrator.network.dns_rules import Asker, NameTable, RecordType
from orchestrator.network.ingress_rules import ingress_script

ON = {"t1": "n1", "t2": "n2", "t3": "n3"}
PORTS = (PortConfig(80, 8080),)
ASKER = Asker(("net",))


def endpoint(task_id: str, *, deviating: tuple[tuple[str, int, int], ...] = ()) -> Endpoint:
    number = task_id[1:]
    addresses = (("mesh", f"10.0.0.{number}"), ("net", f"10.0.1.{number}"))
    return Endpoint(task_id, f"web.{number}", ON[task_id], f"10.0.0.{number}", addresses, deviating)


def configuration(*task_ids: str, draining: tuple[str, ...] = ()) -> NetworkConfiguration:
    service = BalancedService(
        "s",
        "web",
        PORTS,
        tuple(map(endpoint, task_ids)),
        tuple(map(endpoint, draining)),
        (("net", "10.0.1.100"),),
    )
    addresses = tuple(f"10.0.1.{task_id[1:]}" for task_id in task_ids)
    tasks = tuple(
        NamedTask(f"web.{t[1:]}.{t}", f"10.0.1.{t[1:]}", aliases=("old",), hostnames=("app", f"app-{t}"), node_id=ON[t])
        for t in (*task_ids, *draining)
    )
    names = NetworkNames("net", "backend", (NamedService("web", "", addresses),), tasks)
    carried = AttachedNetwork("net", "backend", "10.0.1.0/24", 4097, "10.0.1.254")
    return NetworkConfiguration(7, networks=(carried,), services=(service,), names=(names,))


def told(configuration: NetworkConfiguration, name: str) -> tuple[str, ...]:
    return NameTable(configuration).answer(ASKER, name, RecordType.ADDRESS).addresses


def test_without_a_verdict_nothing_changes() -> None:
    whole = configuration("t1", "t2")
    assert without_nodes(whole, frozenset()) is whole
    assert without_nodes(whole, {"elsewhere"}) == whole


def test_balancers_begin_nothing_on_a_dead_node() -> None:
    script = ingress_script(without_nodes(configuration("t1", "t2", "t3"), {"n2"}))
    assert "10.0.0.1:80" in script
    assert "10.0.0.3:80" in script
    assert "10.0.0.2:80" not in script
    assert "dnat to 10.0.1.2" not in script


def test_what_is_left_out_lingers() -> None:
    (service,) = without_nodes(configuration("t1", "t2", "t3"), {"n2"}).services
    assert [endpoint.task_id for endpoint in service.lingering] == ["t2"]


def test_what_is_down_as_well_is_gone() -> None:
    (service,) = configuration("t1").services
    lingering = replace(service, lingering=(endpoint("t2"), endpoint("t3")))
    whole = replace(configuration("t1"), services=(lingering,), down=("n2",))
    assert left_of(without_nodes(whole, {"n2"})) == ["t3"]
    assert left_of(without_nodes(whole, {"n3"})) == ["t2", "t3"], "a node that is not heard of here may be up"
    assert left_of(without_nodes(whole, {"n1"})) == ["t2", "t3"], "a node that is late serves on"


def left_of(configuration: NetworkConfiguration) -> list[str]:
    (service,) = configuration.services
    return [endpoint.task_id for endpoint in service.lingering]


def test_names_do_not_lead_to_a_dead_node_but_for_that_of_the_task_itself() -> None:
    living = without_nodes(configuration("t1", "t2", "t3"), {"n2"})
    for name in ("web", "tasks.web", "old", "app"):
        assert told(living, name) == ("10.0.1.1", "10.0.1.3"), name
    for name in ("web.2.t2", "app-t2"):
        assert told(living, name) == ("10.0.1.2",), name
    assert NameTable(living).answer(ASKER, "2.1.0.10.in-addr.arpa", RecordType.POINTER).pointers


def test_where_nothing_would_be_left_all_stays() -> None:
    whole = configuration("t1", "t2")
    assert without_nodes(whole, {"n1", "n2", "n3"}) == whole


def test_a_node_cut_off_from_all_others_serves_what_it_has() -> None:
    alone = without_nodes(configuration("t1", "t2", "t3"), {"n2", "n3"})
    assert [e.task_id for e in alone.services[0].endpoints] == ["t1"]
    assert told(alone, "web") == ("10.0.1.1",)


def test_a_port_that_only_a_dead_nodes_task_serves_keeps_it() -> None:
    without_port = endpoint("t1", deviating=(("tcp", 8080, 0),))
    service = BalancedService("s", "web", PORTS, (without_port, endpoint("t2")))
    whole = NetworkConfiguration(1, services=(service,))
    assert without_nodes(whole, {"n2"}) == whole
    assert without_nodes(whole, {"n1"}).services[0].endpoints == (endpoint("t2"),)


def test_what_drains_and_the_revision_are_untouched() -> None:
    whole = configuration("t1", "t3", draining=("t2",))
    living = without_nodes(whole, {"n2"})
    assert living.revision == whole.revision
    assert living.services[0].draining == whole.services[0].draining
    assert living.services[0].endpoints == whole.services[0].endpoints
