"""What is answered to whom, without a wire."""

import pytest

from orchestrator.model.names import NameClient, NamedService, NamedTask, NetworkNames
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.network.dns_rules import Answer, Asker, NameTable, Outcome, RecordType

TASK_1 = "web.1.aaaaaaaaaaaaaaaaaaaaaaaaa"
TASK_2 = "web.2.bbbbbbbbbbbbbbbbbbbbbbbbb"
GONE = "web.3.ccccccccccccccccccccccccc"

WEB_NETWORK = NetworkNames(
    "net1",
    "webnet",
    services=(
        NamedService("db", "", ("10.0.1.8",), aliases=("store", "web")),
        NamedService("idle", "", ()),
        NamedService("web", "10.0.1.100", ("10.0.1.5", "10.0.1.6"), aliases=("front", "shared")),
        NamedService("web2", "10.0.1.101", (), aliases=("shared",)),
    ),
    tasks=(
        NamedTask(TASK_1, "10.0.1.5", aliases=("canary",), hostnames=("0a1b2c3d4e5f", "app", "app.example.com", "db")),
        NamedTask(TASK_2, "10.0.1.6", aliases=("canary", "front"), hostnames=("app", "canary")),
        NamedTask(GONE, "10.0.1.7", hostnames=("app", "left"), is_leaving=True),
    ),
    clients=(NameClient("t1", "10.0.1.5", ("9.9.9.9",)),),
)
BACK_NETWORK = NetworkNames(
    "net2",
    "Back",
    services=(NamedService("web", "10.0.2.100", ("10.0.2.5",)), NamedService("hidden", "10.0.2.101", ())),
    tasks=(NamedTask(TASK_1, "10.0.2.5"),),
    clients=(NameClient("t1", "10.0.2.5", ("9.9.9.9",)), NameClient("t9", "10.0.2.9")),
)
TABLE = NameTable(
    NetworkConfiguration(
        7,
        networks=(
            AttachedNetwork("mesh", "ingress", "10.0.0.0/24", 4096, "10.0.0.2"),
            AttachedNetwork("net1", "webnet", "10.0.1.0/24", 4097, "10.0.1.2"),
            AttachedNetwork("net2", "Back", "10.0.2.0/24", 4098, "10.0.2.2"),
        ),
        names=(WEB_NETWORK, BACK_NETWORK),
    )
)
ON_WEBNET = Asker(("net1",))
NOBODY = Answer(Outcome.NO_SUCH_NAME)
OUTSIDE = Answer(Outcome.OUTSIDE)


def ask(name: str, asker: Asker = ON_WEBNET, kind: RecordType = RecordType.ADDRESS) -> Answer:
    return TABLE.answer(asker, name, kind)


def addresses(name: str, asker: Asker = ON_WEBNET) -> tuple[str, ...]:
    answer = ask(name, asker)
    assert answer.outcome is Outcome.FOUND
    return answer.addresses


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", ("10.0.1.100",)),
        ("WEB", ("10.0.1.100",)),
        ("web.webnet", ("10.0.1.100",)),
        ("Web.WebNet", ("10.0.1.100",)),
        ("tasks.web", ("10.0.1.5", "10.0.1.6")),
        ("tasks.web.webnet", ("10.0.1.5", "10.0.1.6")),
        ("db", ("10.0.1.8",)),
        ("tasks.db", ("10.0.1.8",)),
        ("front", ("10.0.1.100",)),
        ("tasks.front", ("10.0.1.5", "10.0.1.6")),
        ("store.webnet", ("10.0.1.8",)),
        (TASK_1, ("10.0.1.5",)),
        (f"{TASK_2}.webnet", ("10.0.1.6",)),
        ("canary", ("10.0.1.5", "10.0.1.6")),
        ("0a1b2c3d4e5f", ("10.0.1.5",)),
        ("0A1B2C3D4E5F.webnet", ("10.0.1.5",)),
        ("app", ("10.0.1.5", "10.0.1.6")),
        ("app.example.com", ("10.0.1.5",)),
        ("idle", ()),
        ("tasks.web2", ()),
        ("web2", ("10.0.1.101",)),
    ],
)
def test_a_name_means_its_addresses(name: str, expected: tuple[str, ...]) -> None:
    assert addresses(name) == expected


def test_an_alias_never_takes_another_services_own_name() -> None:
    assert addresses("web") == ("10.0.1.100",)


def test_an_alias_of_two_services_means_both() -> None:
    assert addresses("shared") == ("10.0.1.100", "10.0.1.101")


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "tasks.nobody",
        "tasks.app",
        "left",
        GONE,
        f"{GONE}.webnet",
        "nobody.webnet",
        "www.example.webnet",
        "hidden",
        "tasks.hidden",
    ],
)
def test_what_is_not_there_does_not_exist(name: str) -> None:
    assert ask(name) == NOBODY


@pytest.mark.parametrize("name", ["example.com", "www.tasks.web.org", "web.othernet", "web.1.short", "hidden.back", ""])
def test_the_outside_is_asked_for_all_else(name: str) -> None:
    assert ask(name) == OUTSIDE


@pytest.mark.parametrize("name", ["web", "tasks.web", TASK_1])
def test_another_type_of_a_name_that_exists_is_an_empty_answer(name: str) -> None:
    assert ask(name, kind=RecordType.OTHER) == Answer(Outcome.FOUND)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.1.5", f"{TASK_1}.webnet"),
        ("10.0.1.7", f"{GONE}.webnet"),
    ],
)
def test_an_address_says_whose_it_is(address: str, expected: str) -> None:
    assert ask(reverse(address), kind=RecordType.POINTER) == Answer(Outcome.FOUND, pointers=(expected,))


def test_a_virtual_address_has_no_reverse_name() -> None:
    """As in Docker's swarm mode: it is several tasks' address, and no task's."""
    assert ask(reverse("10.0.1.100"), kind=RecordType.POINTER) == NOBODY


def reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


@pytest.mark.parametrize("address", ["10.0.1.77", "10.0.2.5", "10.0.0.9"])
def test_an_address_of_the_cluster_that_is_not_the_askers_to_see_does_not_exist(address: str) -> None:
    assert ask(reverse(address), kind=RecordType.POINTER) == NOBODY


@pytest.mark.parametrize("name", ["8.8.8.8.in-addr.arpa", "5.1.0.10.x.in-addr.arpa", "1.0.10.in-addr.arpa"])
def test_other_reverse_names_are_outside(name: str) -> None:
    assert ask(name, kind=RecordType.POINTER) == OUTSIDE


def test_a_task_sees_all_its_networks_that_of_its_question_first() -> None:
    first, second = TABLE.asker("10.0.1.5", "net1"), TABLE.asker("10.0.2.5", "net2")
    assert first == Asker(("net1", "net2"), ("9.9.9.9",))
    assert addresses("web", first) == ("10.0.1.100",)
    assert addresses("web", second) == ("10.0.2.100",)
    assert addresses("web.back", first) == ("10.0.2.100",)
    assert addresses("hidden", first) == ("10.0.2.101",)
    assert ask(reverse("10.0.2.5"), first, RecordType.POINTER).pointers == (f"{TASK_1}.Back",)


def test_another_container_sees_the_network_it_asks_on() -> None:
    assert TABLE.asker("10.0.2.77", "net2") == Asker(("net2",))
    assert addresses("web", TABLE.asker("10.0.2.77", "net2")) == ("10.0.2.100",)


def test_the_outside_is_no_business_of_what_is_on_internal_networks_alone() -> None:
    confined = Asker(("net1",), is_confined=True)
    assert addresses("web", confined) == ("10.0.1.100",)
    assert ask("nobody", confined) == NOBODY
    for name in ("example.com", "8.8.8.8.in-addr.arpa", ""):
        assert ask(name, confined).outcome is Outcome.NO_WAY_OUT


def test_there_is_a_server_on_named_networks_only() -> None:
    assert TABLE.gateways == {"net1": "10.0.1.2", "net2": "10.0.2.2"}


def test_an_empty_table_knows_no_names() -> None:
    empty = NameTable(NetworkConfiguration())
    assert empty.answer(empty.asker("10.0.1.5", "net1"), "web", RecordType.ADDRESS) == NOBODY
