"""How this node asks for names itself: its resolv.conf(5), read again whenever it has changed."""

import logging
from pathlib import Path

from orchestrator.model.resolver_settings import ResolverSettings, read_resolver_file

logger = logging.getLogger(__name__)


class NodeResolver:
    """The settings in a file that others write, such as a DHCP client."""

    def __init__(self, path: Path = Path("/etc/resolv.conf")) -> None:
        self._path = path
        self._changed_at: int | None = None
        self._settings = ResolverSettings()

    def settings(self) -> ResolverSettings:
        """What the file says; nothing while there is none."""
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._settings = read_resolver_file(self._path.read_text("utf-8", "replace"))
                self._changed_at = changed_at
        except OSError as error:
            logger.warning("this node cannot say which name servers it asks: %s", error)
            return ResolverSettings()
        return self._settings
