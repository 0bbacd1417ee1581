"""Asking a cluster for a change, in which something else may be changing or going down at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pytest_swarm.waiting import Done, NotYet, wait_until

T = TypeVar("T")

# Our version was old, for the cluster itself writes too as an update goes on; or a new leader is being elected.
_PASSING_REFUSALS = ("out of sequence", "does not have a leader")


def submit(request: Callable[[], T], *, what: str, timeout: float) -> T:
    """Make the request again until it is accepted; returns what it returned.

    Raises docker.errors.APIError when it is refused for good, DeadlineExceeded after `timeout` seconds.
    """
    from docker.errors import APIError

    def attempt() -> Done[T] | NotYet:
        try:
            return Done(request())
        except APIError as error:
            if not any(reason in str(error.explanation) for reason in _PASSING_REFUSALS):
                raise
            return NotYet(str(error.explanation))
        except OSError as error:  # the manager was killed as it was asked; the next attempt asks another one
            return NotYet(str(error))

    return wait_until(attempt, what=f"{what} to be accepted", timeout=timeout)


def send_spec(api: Any, service_id: str, spec: Mapping[str, Any], version: int, **parameters: str) -> None:
    """Give a service this specification just as it is, as `docker service update` does. `api` is docker-py's.

    docker-py's `update_service` completes it with the defaults first, which Docker's swarm mode takes for a change of
    every task: a service that is only scaled has all its tasks replaced. `parameters` are further ones of the request.

    Raises docker.errors.APIError.
    """
    from docker.errors import create_api_error_from_http_exception
    from requests import HTTPError

    answer = api.post(
        f"{api.base_url}/v{api.api_version}/services/{service_id}/update",
        params={"version": version, **parameters},
        json=spec,
        timeout=api.timeout,
    )
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
