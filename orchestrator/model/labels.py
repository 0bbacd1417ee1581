"""Labels, which every object of a cluster carries."""

Labels = tuple[tuple[str, str], ...]
"""Sorted (key, value) pairs: hashable, and iterated in the same order in every process."""
