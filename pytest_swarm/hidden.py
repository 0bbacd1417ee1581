"""What the clients of a user's own Locust file hide from Locust, and so from every count. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_HIDES = {
    # Measured: tests/benchmarks/test_ruler.py.
    "FastHttpUser": "FastHttpUser sends a request again, unasked, when its connection ended before an answer began: "
    "a loss that the second try makes good is not seen",
    "HttpUser": "HttpUser waits for ever unless the file gives it a timeout: a request that hangs is never counted",
}


def hidden_by(clients: Iterable[str]) -> list[str]:
    """Return one sentence for each kind of client, and for what no Locust file can show."""
    found = [_HIDES.get(client, f"what the client of {client} hides from Locust is not known") for client in clients]
    found.append("the requests of the file carry no id: which task served them, and whether twice, is not known")
    return found
