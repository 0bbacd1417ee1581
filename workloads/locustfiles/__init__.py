"""Load for Locust; copied into the load container, so it imports only locust and the standard library."""
