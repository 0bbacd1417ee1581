"""What `GET /events` streams."""

from msgspec import Struct, field

from orchestrator.api.wire.common import Int64, StringMap, WireObject


class Actor(WireObject, omit_defaults=False):
    """What an event is about."""

    id: str
    attributes: StringMap = field(default_factory=dict)


class Event(Struct, kw_only=True):
    """One event; its newer fields are spelled in lower case."""

    type: str = field(name="Type")
    action: str = field(name="Action")
    actor: Actor = field(name="Actor")
    scope: str
    time: Int64
    time_nano: Int64 = field(name="timeNano")
