"""Hosts and ports as text, one spelling each."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address

ADDRESS = "address:"
"""What the weak key of an address begins with."""


def before_a_port(host: str) -> str:
    """Lower case; IPv6 in its short form (RFC 5952) and brackets (RFC 3986), which it may have already."""
    if ":" not in host:
        return host.lower()
    bare = host.strip("[]")
    try:
        return f"[{IPv6Address(bare)}]"
    except AddressValueError:
        return f"[{bare.lower()}]"


def host_port(host: str, port: int | str) -> str:
    return f"{before_a_port(host)}:{port}"


def address_key(host: str, port: int | str = "") -> str:
    """The weak key of what answers there. Without `port`: of the machine."""
    return ADDRESS + (host_port(host, port) if port else before_a_port(host))
