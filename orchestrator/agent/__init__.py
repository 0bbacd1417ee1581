"""The node's side of a session: obey assignments, run tasks, carry networks, report back."""
