"""Formats: what ``format`` of JSON Schema (draft 2020-12, Validation, section 7.3) asserts of text.

The library knows some of them only where optional packages are installed, and e-mail addresses by their
``@``; these follow the RFCs named beside them, in linear time.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import idna

from app.entity_types.json_schema.patterns import compile_pattern, is_pattern


@dataclass(frozen=True, slots=True)
class Format:
    """``holds`` decides about a text; ``toll`` is its price in visits for each character."""

    holds: Callable[[str], bool]
    described: str
    toll: float = 1 / 16


def _matcher(pattern: str) -> Callable[[str], bool]:
    return compile_pattern(f"^(?:{pattern})$").matches


# RFC 3339
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
_looks_like_date, _looks_like_time = _matcher(_DATE), _matcher(_TIME)
_is_duration = _matcher(
    r"P(\d+W|\d+Y(\d+M)?(\d+D)?TIME?|\d+M(\d+D)?TIME?|\d+DTIME?|TIME)".replace(
        "TIME", r"(T(\d+H(\d+M)?(\d+S)?|\d+M(\d+S)?|\d+S))"
    )
)


def _is_date(text: str) -> bool:
    if not _looks_like_date(text):
        return False
    try:
        # The calendar repeats every 400 years; Python's has no year 0.
        date.fromisoformat("0400" + text[4:] if text.startswith("0000") else text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    if not _looks_like_time(text):
        return False
    return text[6:8] != "60" or _minute_in_utc(text) == 23 * 60 + 59


def _minute_in_utc(time: str) -> int:
    minutes = int(time[:2]) * 60 + int(time[3:5])
    if time[-1] in "Zz":
        return minutes
    offset = int(time[-5:-3]) * 60 + int(time[-2:])
    return (minutes - offset if time[-6] == "+" else minutes + offset) % (24 * 60)


def _is_date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and _is_date(text[:10]) and _is_time(text[11:])


def _is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def _is_ipv6(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


# RFC 1123, section 2.1; RFC 5890 and the rules of RFC 5892
_LABEL = r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_looks_like_hostname = _matcher(rf"{_LABEL}(\.{_LABEL})*")


def _is_hostname(text: str) -> bool:
    return len(text) <= 253 and _looks_like_hostname(text)


def _is_idn_hostname(text: str) -> bool:
    try:
        return len(text) <= 253 and bool(idna.encode(text))
    except (idna.IDNAError, UnicodeError):
        return False


# RFC 5321, section 4.1.2, and RFC 6531, section 3.3
_ATOM = r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~BEYOND-]+"
_LOCAL = rf'({_ATOM}(\.{_ATOM})*|"([ !#-\[\]-~BEYOND]|\\[ -~])*")'
_is_local_part = _matcher(_LOCAL.replace("BEYOND", ""))
_is_international_local_part = _matcher(_LOCAL.replace("BEYOND", r"\u0080-\u{10FFFF}"))


def _is_mailbox(text: str, is_local_part: Callable[[str], bool], is_domain: Callable[[str], bool]) -> bool:
    local, at, domain = text.rpartition("@")
    if not at or len(local) > 64 or not is_local_part(local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        return _is_ipv6(literal[5:]) if literal.startswith("IPv6:") else _is_ipv4(literal)
    return is_domain(domain)


# RFC 3986, appendix A; RFC 3987, section 2.2
_UCS = r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\u{10000}-\u{efffd}"
_PRIVATE = r"\ue000-\uf8ff\u{f0000}-\u{10fffd}"


def _references(beyond: str, private: str) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Matchers of absolute and of any references, whose characters may be ``beyond`` ASCII."""
    name = rf"[0-9A-Za-z._~!$&'()*+,;={beyond}-]|%[0-9A-Fa-f]{{2}}"
    character = rf"(?:{name}|[:@])"
    host = rf"\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[0-9A-Za-z._~!$&'()*+,;=:-]+)\]|(?:{name})*"
    authority = rf"//(?:(?:{name}|:)*@)?(?:{host})(?::\d*)?(?:/{character}*)*"
    absolute = rf"/(?:{character}+(?:/{character}*)*)?"
    tail = rf"(?:\?(?:{character}|[/?{private}])*)?(?:#(?:{character}|[/?])*)?"
    rootless = rf"{character}+(?:/{character}*)*"
    uri = rf"[A-Za-z][0-9A-Za-z+.-]*:(?:{authority}|{absolute}|{rootless})?{tail}"
    relative = rf"(?:{authority}|{absolute}|(?:{name}|@)+(?:/{character}*)*)?{tail}"
    return _with_literal_checked(_matcher(uri)), _with_literal_checked(_matcher(f"{uri}|{relative}"))


def _with_literal_checked(matches: Callable[[str], bool]) -> Callable[[str], bool]:
    """An address in brackets, which only a host may have, is one of IPv6."""

    def holds(text: str) -> bool:
        if not matches(text):
            return False
        literal = text.partition("[")[2].partition("]")[0]
        return not literal or literal[0] in "vV" or _is_ipv6(literal)

    return holds


_is_uri, _is_uri_reference = _references("", "")
_is_iri, _is_iri_reference = _references(_UCS, _PRIVATE)

# RFC 6570, section 2
_VARIABLE = r"(?:[0-9A-Za-z_]|%[0-9A-Fa-f]{2})(?:\.?(?:[0-9A-Za-z_]|%[0-9A-Fa-f]{2}))*(?::[1-9]\d{0,3}|\*)?"
_is_uri_template = _matcher(
    rf"(?:[^\x00-\x20\x7f\"%<>\\^`{{|}}]|%[0-9A-Fa-f]{{2}}|\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}})*"
)

# RFC 6901; draft-bhutton-relative-json-pointer-00
_POINTER = r"(?:/(?:[^~/]|~[01])*)*"
_COUNT = r"(?:0|[1-9]\d*)"

FORMATS: Mapping[str, Format] = {
    "date-time": Format(_is_date_time, "a date and time with its zone, such as 2026-11-22T17:00:00Z"),
    "date": Format(_is_date, "a date, such as 2026-11-22"),
    "time": Format(_is_time, "a time with its zone, such as 17:00:00Z"),
    "duration": Format(_is_duration, "a duration, such as P1DT12H"),
    "email": Format(lambda text: _is_mailbox(text, _is_local_part, _is_hostname), "an e-mail address"),
    "idn-email": Format(
        lambda text: _is_mailbox(text, _is_international_local_part, _is_idn_hostname), "an e-mail address", 4
    ),
    "hostname": Format(_is_hostname, "a host name"),
    "idn-hostname": Format(_is_idn_hostname, "a host name", 4),
    "ipv4": Format(_is_ipv4, "an IPv4 address"),
    "ipv6": Format(_is_ipv6, "an IPv6 address"),
    "uri": Format(_is_uri, "an absolute URI"),
    "uri-reference": Format(_is_uri_reference, "a URI or a relative reference"),
    "iri": Format(_is_iri, "an absolute IRI"),
    "iri-reference": Format(_is_iri_reference, "an IRI or a relative reference"),
    "uuid": Format(_matcher(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"), "a UUID"),
    "uri-template": Format(_is_uri_template, "a URI template (RFC 6570)"),
    "json-pointer": Format(_matcher(_POINTER), "a JSON Pointer (RFC 6901)"),
    "relative-json-pointer": Format(
        _matcher(rf"{_COUNT}(?:#|(?:[+-]{_COUNT})?{_POINTER})"), "a relative JSON Pointer"
    ),
    "regex": Format(is_pattern, "a regular expression", 4),
}
"""Every format the draft defines. One it does not define asserts nothing, as the draft demands."""
