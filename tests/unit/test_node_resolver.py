"""The node's own name servers, as they change."""

import os
from pathlib import Path

from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.node_resolver import NodeResolver


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    resolver = NodeResolver(file)
    assert resolver.settings() == ResolverSettings()
    for number, address in enumerate(("1.1.1.1", "2.2.2.2")):
        file.write_text(f"nameserver {address}\nsearch corp.example\n")
        os.utime(file, (number, number))
        assert resolver.settings() == ResolverSettings((address,), ("corp.example",))
    file.unlink()
    assert resolver.settings() == ResolverSettings()
