"""The hardware address of a box on the same network, as this computer's kernel has noted it.

A PandA does not tell its own over its ports. Beyond a router, or where the kernel keeps
no such list in a file (anything but Linux), nobody knows.
"""

from __future__ import annotations

from pathlib import Path

_NEIGHBOURS = Path("/proc/net/arp")
_NOBODY = "00:00:00:00:00:00"
_COLUMNS = 4  # address, type, flags, hardware address, ...


def mac_address(ip: str) -> str:
    """Return the hardware address behind an IPv4 address, empty if nobody knows."""
    try:
        lines = _NEIGHBOURS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.split() for line in lines[1:])
    addresses = (f[3] for f in found if len(f) >= _COLUMNS and f[0] == ip)
    return next((address for address in addresses if address != _NOBODY), "")
