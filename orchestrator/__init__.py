"""A swarm-mode orchestrator that loses no request in a planned change. Start at ARCHITECTURE.md."""
