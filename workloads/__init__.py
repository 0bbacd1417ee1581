"""What the tests run: sample services and the load that is driven at them; knows nothing of plugin or orchestrator."""
