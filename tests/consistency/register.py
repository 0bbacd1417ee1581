"""What one object of the cluster must behave like: a register that holds one value, or nothing.

Every value is written once in a history, so a compare-and-set by version is one by value: whoever names the version
of an old value must be refused.
"""

from tests.consistency.history import Action, Operation, Outcome, Refusal

State = str | None
"""The value the object has; None while there is no object."""


class Impossible(Exception):
    """The operation cannot have had that outcome in that state."""


def after(state: State, operation: Operation, *, versions_are_clients: bool) -> State:
    """The state once the operation has taken effect; an info is taken to have succeeded. Raises `Impossible`.

    `versions_are_clients`: only clients change the object, so a version is stale only if its value is. The cluster
    itself writes to services and nodes, whose versions may be stale while the value is not.
    """
    if operation.outcome is Outcome.FAIL:
        _require(_is_refused(state, operation, versions_are_clients))
        return state
    if operation.action is Action.READ:
        _require(operation.value == state)
        return state
    if operation.action is Action.CREATE:
        _require(state is None)
        return operation.value
    _require(state is not None)
    if operation.action is Action.REMOVE:
        return None
    _require(operation.expected == state)
    return operation.value


def _is_refused(state: State, operation: Operation, versions_are_clients: bool) -> bool:
    if operation.refusal is Refusal.EXISTS:
        return state is not None
    if operation.refusal is Refusal.ABSENT:
        return state is None
    if operation.refusal is Refusal.STALE:
        return state is not None and not (versions_are_clients and state == operation.expected)
    return True


def _require(condition: bool) -> None:
    if not condition:
        raise Impossible
