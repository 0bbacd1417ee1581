"""Consensus: the replicated state over PySyncObj, which is imported nowhere else."""

import socket

# PySyncObj puts Windows' `inet_ntop` into the socket module on every system; who imports it later would get that one.
_genuine_inet_ntop = socket.inet_ntop
import pysyncobj  # noqa: E402, F401

socket.inet_ntop = _genuine_inet_ntop
