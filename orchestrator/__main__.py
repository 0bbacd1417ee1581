"""`swarmd` as a command: `python3 -m orchestrator`."""

import logging
import sys

import uvloop

from orchestrator.config import from_environment
from orchestrator.daemon import run
from orchestrator.log_lines import LineFormatter
from orchestrator.model.errors import InvalidArgument


def main() -> int:
    """Run the daemon; returns the exit code."""
    try:
        config = from_environment()
    except InvalidArgument as error:
        sys.stderr.write(f"swarmd: {error}\n")
        return 2
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=config.log_level, handlers=[handler])
    # The CLI polls five times a second: a line for each would bury what matters.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    return uvloop.run(run(config))


if __name__ == "__main__":
    sys.exit(main())
