"""Which hosts are this machine."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["is_loopback", "is_this_machine"]


def is_loopback(host: str) -> bool:
    """Whether the host is this machine beyond doubt: what is sent to it needs no TLS."""
    if host == "localhost":
        return True
    import ipaddress  # seldom needed: most URLs are https

    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def is_this_machine(host: str) -> bool:
    """Whether the host is this machine however it is spelled: a proxy must not get its requests."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    import ipaddress
    import socket

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # 127.1, 0x7f000001
        except (OSError, ValueError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
