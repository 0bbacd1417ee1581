"""An image under the name `alpine`, for no registry can be reached: the sample's `sh` and `sleep`, and an `nslookup`.

The `nslookup` is a few lines of Python that print what the article's did: addresses, each with its reverse name.
"""

from __future__ import annotations

from pathlib import Path

from tests.bare_nodes import add_programs

# Names go in as bytes: the sample's Python is too small to know the encoding of host names.
NSLOOKUP = b"""#!/usr/bin/python3 -ISB
import socket
import sys

name = sys.argv[1]
try:
    found = {each[4][0] for each in socket.getaddrinfo(name.encode(), None, socket.AF_INET, socket.SOCK_STREAM)}
except OSError:
    sys.exit(f"nslookup: can't resolve '{name}'")
print(f"\\nName:      {name}")
for number, address in enumerate(sorted(found), start=1):
    try:
        reverse = " " + socket.gethostbyaddr(address.encode())[0]
    except OSError:
        reverse = ""
    print(f"Address {number}: {address}{reverse}")
"""


def add_alpine(sample: Path, target: Path) -> None:
    """Write the archive of `alpine`, made of the sample service's."""
    add_programs(sample, target, {"bin/nslookup": NSLOOKUP})
