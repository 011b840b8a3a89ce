"""Access: while it is open to everyone on this machine, it is not open to web pages."""

import ipaddress
from urllib.parse import urlsplit

from app.domain.errors import Forbidden


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_origin(host: str | None, origin: str | None) -> None:
    """Refuse what a browser sends for a foreign page, by a foreign ``Origin`` or, after DNS
    rebinding, a foreign ``Host``. Raises ``Forbidden``."""
    if host is not None and not is_loopback(_name(f"//{host}")):
        raise Forbidden(
            f"the Host {host[:80]!r} is not this machine; without API keys only loopback hosts are answered"
        )
    if origin is not None and not is_loopback(_name(origin)):
        raise Forbidden(
            f"the Origin {origin[:80]!r} is another site; without API keys only pages of this machine may ask"
        )


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
