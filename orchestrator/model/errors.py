"""What can be wrong with a request to change or read the cluster.

The message is the one Docker users know; `api/errors.py` alone knows the HTTP status of each class.
"""


class ClusterError(Exception):
    """Base of every refusal; `str(error)` is one line fit for the user."""


class InvalidArgument(ClusterError):
    """The request itself is wrong, whatever the cluster's state (HTTP 400)."""


class BadConstraint(InvalidArgument):
    """A placement constraint that cannot be read; swarm mode alone answers it as an unknown error (HTTP 500)."""


class WrongKey(ClusterError):
    """The unlock key is not this cluster's (HTTP 401)."""

    def __init__(self) -> None:
        super().__init__("swarm could not be unlocked: invalid key provided")


class JoinRefused(ClusterError):
    """A manager turned a node away; what the node finds wrong before it asks is an `InvalidArgument` (HTTP 400)."""


class NotFound(ClusterError):
    """The named object does not exist (HTTP 404)."""


class AlreadyExists(ClusterError):
    """Another object holds the name (HTTP 409)."""


class FailedPrecondition(ClusterError):
    """Right in form, refused by the present state: an object in use, a stale version (HTTP 400 or 409)."""


class OutOfSequence(FailedPrecondition):
    """The caller's version of the object is not the current one."""

    def __init__(self) -> None:
        super().__init__("update out of sequence")


class Forbidden(ClusterError):
    """The operation is not allowed on this object at all (HTTP 403)."""


class NotSupported(ClusterError):
    """A change that swarm mode, or this orchestrator, cannot make to anything (HTTP 501)."""


class Unavailable(ClusterError):
    """The node cannot serve it now: no leader, not a manager, not in a swarm (HTTP 503)."""


class NoLeader(Unavailable):
    """No majority of managers is there to decide or to answer; the text is swarmkit's."""

    def __init__(self) -> None:
        super().__init__(
            "The swarm does not have a leader. It's possible that too few managers are online. "
            "Make sure more than half of the managers are online."
        )


class LostLeadership(Unavailable):
    """The leader was lost while it worked on the request, which may or may not take effect; the text is swarmkit's."""

    def __init__(self) -> None:
        super().__init__("raft: failed to process the request: node lost leader status")


class TransitionRefused(ClusterError):
    """A proposed change is not an arrow of the transition table; the whole batch is dropped."""
