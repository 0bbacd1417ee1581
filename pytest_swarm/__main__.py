"""`python -m pytest_swarm`: clusters without pytest."""

import sys

from pytest_swarm.command_line import main

sys.exit(main())
