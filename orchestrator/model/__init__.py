"""The domain as frozen data: swarm mode's objects and the table of a task's life. Pure; it imports nothing above."""
