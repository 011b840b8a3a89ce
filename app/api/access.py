"""Access: while it is open to everyone on this machine, it is not open to web pages."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from app.domain.errors import Forbidden

LONGEST = 300
"""Characters an address that is looked at may have."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _is_ours(address: str) -> bool:
    """Whether the host of an address is this machine; clients send the same few again and again."""
    return len(address) <= LONGEST and is_loopback(_name(address))


def check_origin(host: str | None, origin: str | None) -> None:
    """Refuse what a browser sends for a foreign page, by a foreign ``Origin`` or, after DNS
    rebinding, a foreign ``Host``. Raises ``Forbidden``."""
    if host is not None and not _is_ours(f"//{host}"):
        raise Forbidden(
            f"the Host {host[:80]!r} is not this machine; without API keys only loopback hosts are answered"
        )
    if origin is not None and not _is_ours(origin):
        raise Forbidden(
            f"the Origin {origin[:80]!r} is another site; without API keys only pages of this machine may ask"
        )


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
