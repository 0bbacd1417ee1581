"""Our customers."""

from locust import HttpUser, constant, task


class Shopper(HttpUser):
    wait_time = constant(0.1)

    @task
    def buy(self):
        self.client.get("/", timeout=5)
