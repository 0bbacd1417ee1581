"""Waits until no packet is under way inside the network stack that may have seen what was just replaced.

Netfilter hands a packet from the balancing rule to the tracking table within one RCU read section. So after an RCU
grace period each such packet has either been entered there or dropped. `membarrier(2)` waits for exactly that: its
global command is a `synchronize_rcu()` (kernel/sched/membarrier.c); some 10 ms on an idle machine.
"""

import asyncio
import ctypes
import os
import platform

_SYSTEM_CALLS = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "armv7l": 389, "ppc64le": 365, "s390x": 356}
"""Number of `membarrier` by machine; the C library has no function for it."""
_MEMBARRIER_CMD_GLOBAL = 1

_FALLBACK_S = 0.1
"""Where `membarrier` is not to be had: packets are inside for microseconds, a stalled processor adds milliseconds."""


async def wait_for_packets_under_way() -> None:
    """Return when every packet that entered the network stack before the call has left it or is in its tables."""
    if not await asyncio.to_thread(_membarrier):
        await asyncio.sleep(_FALLBACK_S)


def _membarrier() -> bool:
    number = _SYSTEM_CALLS.get(platform.machine())
    # With one processor the kernel skips the wait: nothing runs beside us, but a preempted sender may.
    if number is None or os.cpu_count() == 1:
        return False
    result: int = ctypes.CDLL(None).syscall(number, _MEMBARRIER_CMD_GLOBAL, 0, 0)
    return result == 0
