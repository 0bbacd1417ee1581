"""A Locust file as anybody would write it, knowing nothing of this project."""

from __future__ import annotations

from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.1)

    @task
    def visit(self) -> None:
        self.client.get("/", headers={"Connection": "close"}, timeout=30)
