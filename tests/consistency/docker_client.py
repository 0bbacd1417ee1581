"""Wishes carried out by docker-py on one manager's own socket, and what its answers mean for a history.

Every request has a deadline. An answer is a fail only where it says that nothing was done; whatever may have been done
is info, among it every refusal for want of a leader: its text is the same before a proposal was made and after.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
import requests

from pytest_swarm.unix_transport import ClosingAdapter
from tests.consistency.history import Action, Outcome, Refusal
from tests.consistency.workload import Answer, Wish

LABEL = "value"
UNSET = "unset"
"""The value of a node that has no such label."""
API = "/v1.45"
TIMEOUT = 5.0
"""Seconds a client waits for an answer."""
REPLICAS_MAX = 4
_NOTE_LENGTH = 120
_TASK = {
    "ContainerSpec": {"Image": "docker-swarm-test:1"},
    # Nowhere: what is measured is what managers remember, not what nodes run.
    "Placement": {"Constraints": ["node.labels.consistency==nowhere"]},
}


class DockerClient:
    """One user of one manager. `close` it."""

    def __init__(self, socket: Path) -> None:
        """`socket` is the manager's."""
        # A version given is one not asked for: no request is made before the first wish.
        self._api = docker.APIClient(base_url=f"unix://{socket}", version=API.removeprefix("/v"))
        self._api.get_adapter(self._api.base_url).close()
        self._api.mount(self._api.base_url, ClosingAdapter(f"http+unix://{socket}", timeout=TIMEOUT))

    def close(self) -> None:
        """End its connections."""
        self._api.close()

    def ask(self, wish: Wish) -> Answer:
        """Carry out the wish, in `TIMEOUT` seconds; raises nothing that a broken cluster can cause."""
        try:
            answer = self._request(wish)
            text = answer.text
        except (requests.RequestException, OSError) as error:
            return _unanswered(wish, error)
        if answer.ok:
            return _read(wish, answer.json()) if wish.action is Action.READ else Answer(Outcome.OK)
        return _refused(wish, answer.status_code, text)

    def list(self, path: str, filters: str = "{}") -> list[dict[str, Any]]:
        """What `GET path` lists. Raises OSError, of which requests' errors are."""
        answer = self._api.get(f"{self._api.base_url}{API}{path}", params={"filters": filters}, timeout=TIMEOUT)
        answer.raise_for_status()
        listed: list[dict[str, Any]] = answer.json()
        return listed

    def state(self) -> tuple[int, str]:
        """How many batches the manager has applied, and the digest of them all. Raises OSError."""
        answer = self._api.get(f"{self._api.base_url}/debug/swarm", timeout=TIMEOUT)
        answer.raise_for_status()
        consensus = answer.json()["consensus"]
        return consensus["state_index"], consensus["state_digest"]

    def _request(self, wish: Wish) -> requests.Response:
        collection = f"{self._api.base_url}{API}/{wish.kind.name}s"
        item = f"{collection}/{wish.name}"
        answer: requests.Response
        if wish.action is Action.READ:
            answer = self._api.get(item, timeout=TIMEOUT)
        elif wish.action is Action.REMOVE:
            answer = self._api.delete(item, timeout=TIMEOUT)
        elif wish.action is Action.CREATE:
            answer = self._api.post(f"{collection}/create", json=_body(wish), timeout=TIMEOUT)
        else:
            version = {"version": wish.version}
            answer = self._api.post(f"{item}/update", params=version, json=_body(wish), timeout=TIMEOUT)
        return answer


def replicas_for(value: str) -> int:
    """How many replicas a service of that value has: updates scale it."""
    return int(value.rpartition(".")[2]) % REPLICAS_MAX


def _body(wish: Wish) -> Mapping[str, Any]:
    value = wish.value or ""
    body = {"Name": wish.name, "Labels": {LABEL: value}}
    special: dict[str, dict[str, Any]] = {
        "config": {"Data": "Y29udGVudA=="},
        "secret": {"Data": "Y29udGVudA=="},
        "network": {"Driver": "overlay"},
        "node": {"Role": "worker", "Availability": "active"},
        "service": {"TaskTemplate": _TASK},
    }
    body |= special[wish.kind.name]
    if wish.kind.name == "service":
        body["Mode"] = {"Replicated": {"Replicas": replicas_for(value)}}
    return body


def _read(wish: Wish, item: Mapping[str, Any]) -> Answer:
    spec = item.get("Spec", item)
    value = (spec.get("Labels") or {}).get(LABEL, UNSET)
    if wish.kind.name == "service":
        replicas = spec["Mode"]["Replicated"]["Replicas"]
        if replicas != replicas_for(value):
            value = f"{value} with {replicas} replicas"
    return Answer(Outcome.OK, value=value, version=item["Version"]["Index"] if "Version" in item else None)


def _refused(wish: Wish, status: int, text: str) -> Answer:
    note = f"{status} {' '.join(text.split())}"[:_NOTE_LENGTH]
    if status == HTTPStatus.NOT_FOUND:
        if wish.action is Action.READ:
            return Answer(Outcome.OK, note=note)
        return Answer(Outcome.FAIL, refusal=Refusal.ABSENT, note=note)
    if status == HTTPStatus.CONFLICT:
        return Answer(Outcome.FAIL, refusal=Refusal.EXISTS, note=note)
    if "update out of sequence" in text:
        return Answer(Outcome.FAIL, refusal=Refusal.STALE, note=note)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or wish.action is Action.READ:
        return Answer(Outcome.FAIL, refusal=Refusal.NOT_SERVED, note=note)
    return Answer(Outcome.INFO, note=note)


def _unanswered(wish: Wish, error: BaseException) -> Answer:
    note = " ".join(str(error).split())[:_NOTE_LENGTH]
    nobody_listens = any(isinstance(cause, ConnectionRefusedError | FileNotFoundError) for cause in _causes(error))
    if wish.action is Action.READ or nobody_listens:
        return Answer(Outcome.FAIL, refusal=Refusal.NOT_SERVED, note=note)
    return Answer(Outcome.INFO, note=note)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
