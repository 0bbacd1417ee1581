"""Chooses nodes for pending tasks: filters say where a task may run, the spread where it runs best."""
