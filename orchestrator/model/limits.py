"""Sizes beyond which nothing is read or sent: what one peer may cost the other in memory. In bytes."""

MAX_API_BODY_BYTES = 4 * 2**20
"""Of a request to the Docker API, forwarded ones included: what swarmkit's gRPC takes at most."""
MAX_JOIN_BYTES = 64 * 2**10
"""Of what a stranger asks with, its description of itself included."""
MAX_AGENT_MESSAGE_BYTES = 16 * 2**20
"""Of what an agent says in its session; the longest is its first word, with the statuses of all its tasks."""
MAX_MANAGER_MESSAGE_BYTES = 128 * 2**20
"""Of what a manager says in a session: all that a node is to run, and the files of what it is to start."""
MAX_FILES_BYTES = 32 * 2**20
"""Of the secrets and configs in one message; the others come when those have been used."""
