"""The deciders: pure functions from the state and the time to a Plan. They never act; `control/loop.py` orders them."""
