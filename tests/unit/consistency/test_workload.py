"""Clients choose from one seed, get in each other's way, and update only what they saw."""

from collections import Counter

from tests.consistency.history import Action, Operation, Outcome
from tests.consistency.workload import CONFIG, NETWORK, OPERATIONS_PER_NAME, Answer, Client, Kind, Names, operation_of

NODE = Kind("node", can_be_removed=False, versions_are_clients=False, names=("n4",))


def wishes(client: Client, count: int, answer: Answer) -> list[Operation]:
    made = []
    for moment in range(count):
        wish = client.next_wish()
        made.append(operation_of(wish, answer, client.name, moment, moment + 0.5))
        client.learn(made[-1])
    return made


def test_a_seed_gives_the_same_wishes() -> None:
    seen = Answer(Outcome.OK, value="a", version=3)
    runs = [wishes(Client("c", 5, Names([CONFIG, NETWORK, NODE], "run")), 200, seen) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != wishes(Client("c", 6, Names([CONFIG, NETWORK, NODE], "run")), 200, seen)


def test_an_update_names_what_was_seen_with_its_version() -> None:
    made = wishes(Client("c", 1, Names([CONFIG], "run")), 300, Answer(Outcome.OK, value="a", version=3))
    updates = [operation for operation in made if operation.action is Action.UPDATE]
    assert updates
    assert {(operation.expected, operation.version) for operation in updates} == {("a", 3)}
    assert len({operation.value for operation in updates}) == len(updates)


def test_what_cannot_be_done_to_a_kind_is_not_asked_for() -> None:
    names = Names([NETWORK, NODE], "run")
    actions: Counter[tuple[str, Action]] = Counter()
    for value in ("a", None):
        for operation in wishes(Client(f"c{value}", 1, names), 400, Answer(Outcome.OK, value=value, version=3)):
            actions[operation.key.split()[0], operation.action] += 1
    assert not actions["network", Action.UPDATE]
    assert not actions["node", Action.CREATE] + actions["node", Action.REMOVE]
    assert actions["network", Action.CREATE]
    assert actions["network", Action.REMOVE]
    assert actions["node", Action.UPDATE]


def test_one_that_only_looks_only_reads() -> None:
    client = Client("c", 1, Names([CONFIG], "run"), only_looks=True)
    made = wishes(client, 100, Answer(Outcome.OK, value="a", version=3))
    assert {operation.action for operation in made} == {Action.READ}


def test_a_name_is_given_up_after_some_operations_and_fixed_ones_never() -> None:
    names = Names([CONFIG, NODE], "run", at_once=1)
    made = Counter(operation.key for operation in wishes(Client("c", 1, names), 600, Answer(Outcome.OK)))
    assert made["node n4"] > OPERATIONS_PER_NAME
    assert len(made) > 3
    assert max(count for key, count in made.items() if key.startswith("config")) == OPERATIONS_PER_NAME
    assert {f"{kind.name} {name}" for kind, name in names.all} == set(made)
