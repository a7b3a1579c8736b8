# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses a request may go to.

A session names hosts, and whoever can make a session, or a redirect, or has a name resolved, must
not have this machine ask others of its own network, a router or a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not what `ipaddress` calls global: that differs between Python's versions. IANA's registries of
# special-purpose addresses, and all of multicast and of what is reserved.
_SPECIAL_4 = [
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
]
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = [
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # Teredo and others
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address is in it
        "3fff::/20",
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_OWN_NETWORK = [
    ipaddress.ip_network(each)
    for each in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "::1/128",
    )
]


def is_loopback(host: str | None) -> bool:
    """Whether `host`, as it is spelt in a URL, is this machine by its usual names."""
    return host in LOOPBACK_HOSTS


def may_reach(host: str, address: str, own_host: str = "") -> bool:
    """Whether a request for `host` may go to this address, one of those that it has.

    Only to a public one; for a name of this machine only to this machine; and for `own_host`, which
    the user named as the service, to one of a private network, too.
    """
    ip = _parse(address)
    if ip is None:
        return False
    if is_loopback(host):
        return ip.is_loopback
    if host == own_host and any(ip in network for network in _OWN_NETWORK):
        return True
    return _is_public(ip)


def literal_address(host: str) -> str | None:
    """The address that `host` stands for without being looked up, in any of the spellings that
    systems understand (`127.1`, `0x7f000001`, `2130706433`, full-width digits); None for a name.
    """
    host = unicodedata.normalize("NFKC", host).replace("。", ".").strip("[]").rstrip(".")
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return "127.0.0.1"
    if (ip := _parse(host)) is not None:
        return str(ip)
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _parse(text: str) -> _Address | None:
    """The address; one of IPv4 if it is only wrapped in one of IPv6."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:  # where there is only IPv6, every IPv4 host is reached by it
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _is_public(ip: _Address) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _SPECIAL_4)
    return ip in _GLOBAL_6 and not any(ip in network for network in _SPECIAL_6)
