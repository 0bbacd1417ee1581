"""A pytest plugin that boots a swarm cluster and proves, request by request, what a rolling update loses."""
