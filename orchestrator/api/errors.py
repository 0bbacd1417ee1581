"""Which refusal is which HTTP answer: the only place that knows status codes.

A refusal by the cluster reaches Docker's users through two layers, gRPC and HTTP, and carries the marks of both. The
statuses are those of moby's `daemon/server/httpstatus`, the codes those of swarmkit's `manager/controlapi`.
"""

from http import HTTPStatus

from orchestrator.model import errors


class RequestError(Exception):
    """The HTTP layer itself refuses, in plain words."""

    status = HTTPStatus.BAD_REQUEST


class BadRequest(RequestError):
    """The request is malformed."""


class ObjectNotFound(RequestError):
    """Nothing goes by that id or name."""

    status = HTTPStatus.NOT_FOUND


class Conflict(RequestError):
    """What is asked for holds already."""

    status = HTTPStatus.CONFLICT


class NotAllowed(RequestError):
    """What is asked for is forbidden."""

    status = HTTPStatus.FORBIDDEN


class EngineRefusal(RequestError):
    """The node's own engine refused a request that was handed on to it; its words and its status."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unauthorized(RequestError):
    """What would prove that the client may is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED


class NotAvailable(RequestError):
    """This node is not in a state to serve the request."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


NOT_IN_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
MANAGER_NOT_READY = (
    "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster."
)
SWARM_LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
ALREADY_IN_SWARM = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
NO_SWARM = "This node is not part of a swarm"

# From the most special class to the most general: the first that fits counts.
_ANSWERS: tuple[tuple[type[errors.ClusterError], str, HTTPStatus], ...] = (
    (errors.NoLeader, "Unknown", HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.LostLeadership, "Unknown", HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.BadConstraint, "Unknown", HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.InvalidArgument, "InvalidArgument", HTTPStatus.BAD_REQUEST),
    (errors.JoinRefused, "InvalidArgument", HTTPStatus.BAD_REQUEST),
    (errors.NotFound, "NotFound", HTTPStatus.NOT_FOUND),
    (errors.AlreadyExists, "AlreadyExists", HTTPStatus.CONFLICT),
    (errors.OutOfSequence, "Unknown", HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.FailedPrecondition, "FailedPrecondition", HTTPStatus.BAD_REQUEST),
    (errors.Forbidden, "PermissionDenied", HTTPStatus.FORBIDDEN),
    (errors.NotSupported, "Unimplemented", HTTPStatus.NOT_IMPLEMENTED),
)


def answer_to(error: errors.ClusterError | RequestError) -> tuple[HTTPStatus, str]:
    """(status, message) a client gets for the error."""
    if isinstance(error, RequestError):
        return error.status, str(error)
    for kind, code, status in _ANSWERS:
        if isinstance(error, kind):
            return status, f"rpc error: code = {code} desc = {error}"
    if isinstance(error, errors.Unavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, f"rpc error: code = Unknown desc = {error}"
