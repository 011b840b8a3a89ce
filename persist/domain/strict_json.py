"""Strict JSON (RFC 8259, and I-JSON's rules of RFC 7493 on members, numbers and
text)."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NoReturn

from persist.domain.errors import InvalidData, InvalidJson, Violation, pointer
from persist.domain.json_lock import JSON_LOCK, LONG_CHARACTERS
from persist.domain.record import INT64, normalize_number

MAX_DEPTH = 64
"""Levels to which arrays and objects may nest."""

MAX_NUMBER_CHARACTERS = 400
"""Characters that a number may have: the largest double has 309 digits."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

WHITESPACE = " \t\n\r"

Decode = Callable[[str, int], tuple[Any, int]]
"""Returns the value that begins at a position, and the position behind it."""

Steps = tuple[str | int, ...]

WriteDecimals = Callable[[Sequence[str], object], object]
"""Returns the value of the member at a path with its decimals as text."""


class _Refused(ValueError):
    """A fault that the decoder's hooks found; the message is for the client."""


class _OutOfRange(ValueError):
    """A number that cannot be stored; its position is found afterwards."""


class WrittenNumber(float):
    """A number with its text, which a double or an integer of 64 bits may not keep."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Compared by their number, which is quicker than looking at each name.
    found = dict(pairs)
    if len(found) != len(pairs):
        names = sorted(name for name, _ in pairs)
        double = next(one for one, other in pairwise(names) if one == other)
        raise _Refused(f"one object has the member {double[:80]!r} twice")
    return found


def _integer(text: str) -> int:
    # The length first: converting many digits takes quadratic time.
    if len(text) > 20 or (number := int(text)) not in INT64:
        raise _OutOfRange
    return number


def _double(text: str) -> int | float:
    if len(text) > MAX_NUMBER_CHARACTERS or math.isinf(number := float(text)):
        raise _OutOfRange
    return normalize_number(number)


def _written_integer(text: str) -> int | float:
    number = _any_integer(text)
    return number if number in INT64 else WrittenNumber(text)


def _written_double(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise _OutOfRange
    number = float(text)
    # Of most numbers the double writes the same text.
    is_plain = repr(number) == text and not number.is_integer()
    return number if is_plain else WrittenNumber(text)


def _any_integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise _OutOfRange
    return int(text)


def _constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is not a JSON value")


_decode = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_double,
    parse_constant=_constant,
).raw_decode

_decode_written_numbers = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_written_integer,
    parse_float=_written_double,
    parse_constant=_constant,
).raw_decode

_decode_any_number = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_any_integer,
    parse_float=_double,
    parse_constant=_constant,
).raw_decode


def parse(
    body: bytes,
    *,
    any_number: bool = False,
    write_decimals: WriteDecimals | None = None,
) -> object:
    """Return the value of a JSON text; doubles that are integers within 64 bits come as
    ``int``. A byte order mark before the text is ignored (RFC 8259, section 8.1).

    Raises ``InvalidJson`` for text that is not strict JSON (duplicate members, NaN,
    U+0000, lone surrogates, more than 64 levels) and ``InvalidData`` for numbers that
    cannot be stored. With ``any_number`` integers beyond 64 bits are let through: a
    bound in a schema is not data. ``write_decimals`` gets the value, in which each
    number has its digits (``WrittenNumber``).
    """
    decode = _decode_any_number if any_number else _decode
    if write_decimals is not None:
        decode = _decode_written_numbers
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        value = _decoded(decode, body.decode())
    except UnicodeDecodeError:
        raise InvalidJson("the text is not UTF-8") from None
    except _OutOfRange:
        raise _unstorable_numbers(body) from None
    except _Refused as refused:
        raise InvalidJson(str(refused)) from None
    except json.JSONDecodeError as error:
        # Some messages of the decoder end in "at" themselves.
        reason = error.msg.removesuffix(" at")
        raise InvalidJson(
            f"{reason} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    # Both checks walk through the value. Most bodies show that they are not needed: too
    # few brackets to nest so deep, or no escape, without which UTF-8 has no surrogate.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        check_depth(value)
    if b"\\u" in body:
        _check_text(value)
    return value if write_decimals is None else _plain(write_decimals((), value))


def _decoded(decode: Decode, text: str) -> Any:
    """Return the value that a text is. Raises ``json.JSONDecodeError``.

    ``JSONDecoder.decode`` takes twice the time: it looks for spaces by an expression.
    """
    start = len(text) - len(text.lstrip(WHITESPACE))
    if len(text) > LONG_CHARACTERS:
        with JSON_LOCK:
            value, end = decode(text, start)
    else:
        value, end = decode(text, start)
    if end != len(text) and (rest := text[end:].lstrip(WHITESPACE)):
        raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    return value


def _plain(value: object) -> Any:
    """Return a value in which every number is one that can be stored. Raises
    ``InvalidData``."""
    faults: list[Violation] = []
    plain = _plain_at((), value, faults)
    if faults:
        raise _unstorable(faults)
    return plain


def _plain_at(path: Steps, value: Any, faults: list[Violation]) -> Any:
    if isinstance(value, WrittenNumber):
        return _plain_number(path, value, faults)
    steps: Iterable[Any] = ()
    if isinstance(value, dict):
        steps = value
    elif isinstance(value, list):
        steps = range(len(value))
    for step in steps:
        member = value[step]
        value[step] = _plain_at((*path, step), member, faults)
    return value


def _plain_number(
    path: Steps, number: WrittenNumber, faults: list[Violation]
) -> int | float:
    is_integer = number.text.removeprefix("-").isdigit()
    refused = _Number(number.text, _integer if is_integer else _double).refused
    if refused:
        faults.append(Violation(pointer(path), refused))
    return normalize_number(float(number))


def check_depth(value: object) -> None:
    """Raise ``InvalidJson`` if arrays and objects nest deeper than 64 levels."""
    if depth_of(value) > MAX_DEPTH:
        raise _too_deep()


def depth_of(value: object) -> int:
    """Return the levels to which arrays and objects nest, counted up to 65."""
    depth = 0
    level = [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [
            member
            for part in level
            for member in (part.values() if isinstance(part, dict) else part)
        ]
    return depth


def _too_deep() -> InvalidJson:
    return InvalidJson(f"arrays and objects nest deeper than {MAX_DEPTH} levels")


def _check_text(value: object) -> None:
    """Raise ``InvalidJson`` for what only an escape can write: U+0000 and lone
    surrogates."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, str) and not is_storable(part):
            raise InvalidJson("text must not contain U+0000 or a lone surrogate")


def is_storable(text: str) -> bool:
    """Return whether text has neither U+0000, which PostgreSQL cannot store, nor a lone
    surrogate, which UTF-8 cannot write."""
    if "\0" in text:
        return False
    return text.isascii() or not any(
        "\ud800" <= character <= "\udfff" for character in text
    )


def _unstorable_numbers(body: bytes) -> InvalidData | InvalidJson:
    """Return the error that names every number of the body that cannot be stored."""
    decoder = json.JSONDecoder(
        parse_constant=_constant,
        parse_int=lambda text: _Number(text, _integer),
        parse_float=lambda text: _Number(text, _double),
    )
    try:
        value = decoder.decode(body.decode())
    except (ValueError, RecursionError):
        # Behind the number there is something else that is wrong.
        return InvalidJson("the body is not strict JSON")
    found = [
        Violation(pointer(path), number.refused)
        for path, number in _numbers(value)
        if number.refused
    ]
    return _unstorable(found)


def _unstorable(found: list[Violation]) -> InvalidData:
    return InvalidData(
        "the body holds numbers that cannot be stored", errors=found[:100]
    )


def _numbers(value: object) -> "Iterator[tuple[Steps, _Number]]":
    """Yield every number of a value with its path."""
    waiting: list[tuple[Steps, Any]] = [((), value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, _Number):
            yield path, part
        members = _members_of(part)
        waiting.extend(((*path, step), member) for step, member in members)


def _members_of(value: object) -> Iterable[tuple[str | int, object]]:
    """Return the members of an object or the items of an array, none of a scalar."""
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


class _Number:
    """A number of the text, and the reason why it cannot be stored, if there is
    one."""

    def __init__(self, text: str, convert: Any) -> None:
        self.refused = ""
        try:
            convert(text)
        except _OutOfRange:
            kind = (
                "an integer must lie within 64 bits"
                if convert is _integer
                else "a number must be a finite double"
            )
            self.refused = f"{text[:40]}: {kind}"
