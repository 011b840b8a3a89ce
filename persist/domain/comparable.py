"""Comparable forms: text that sorts by code point as the values that it stands for.

Members of type decimal, date-time, time and duration are stored as text that was sent.
Filters, sorting and indexes compare the text that these functions return. SQLite calls
them; on PostgreSQL functions in the database (``storage/dialect``) do the
same. An index is built over them: whoever changes a form gives the function a new name.
"""

import re
from decimal import Decimal

MAX_DECIMAL_DIGITS = 38
"""Digits of a decimal written without an exponent; SQL's usual limit."""

MAX_TEXT = 200
"""Longest text that is a decimal, time or duration, in characters."""

_DECIMAL = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?",
    re.ASCII,
)
_OFFSET = r"(?:[Zz]|([+-])(\d\d):(\d\d))"
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?" + _OFFSET,
    re.ASCII,
)
_TIME = re.compile(
    rf"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?{_OFFSET}?",
    re.ASCII,
)
_DURATION = re.compile(
    r"([+-]?)P(?=.)(?:(\d{1,15})Y)?(?:(\d{1,15})M)?(?:(\d{1,15})W)?(?:(\d{1,15})D)?"
    r"(?:T(?=.)(?:(\d{1,15})H)?(?:(\d{1,15})M)?(?:(\d{1,15})(?:[.,](\d+))?S)?)?",
    re.ASCII,
)
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_DAY = 86_400
"""Seconds of a day."""

_DAYS_OF_400_YEARS = 146_097
_DURATION_DIGITS = 25
"""Digits to which the seconds of a duration are padded."""

_MONTH_DIGITS = 20
"""Digits to which the months of a duration are padded."""

MONTHS_PREFIX = "q"
"""Begins the form of a duration with months or years, which has no length."""


def decimal_form(value: object) -> str | None:
    """Return the comparable form of a decimal; None for anything else."""
    matched = _matched(_DECIMAL, value)
    if matched is None:
        return None
    sign, digits, exponent = Decimal(matched[0]).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    if exponent >= 0:
        integer = text and text + "0" * exponent
        fraction = ""
    else:
        padded = text.rjust(-exponent, "0")
        integer = padded[:exponent]
        fraction = padded[exponent:]
    if len(integer) + len(fraction) > MAX_DECIMAL_DIGITS:
        return None
    return _signed(
        bool(sign),
        integer.rjust(MAX_DECIMAL_DIGITS, "0"),
        fraction,
    )


def date_time_form(value: object) -> str | None:
    """Return the comparable form of an RFC 3339 date-time: its instant.

    None for anything else.
    """
    matched = _matched(_DATE_TIME, value)
    if matched is None:
        return None
    year, month, day, hour, minute, second = map(int, matched.groups()[:6])
    days = _days(year, month, day)
    seconds = days * _DAY + hour * 3600 + minute * 60
    seconds -= _offset(*matched.groups()[7:])
    return _instant(seconds, 12, second, matched[7])


def time_form(value: object) -> str | None:
    """Return the comparable form of a time of day; None for anything else.

    A time without an offset is compared as UTC.
    """
    matched = _matched(_TIME, value)
    if matched is None:
        return None
    hour, minute, second = (int(part or 0) for part in matched.groups()[:3])
    # one day more, so that no offset makes it negative
    seconds = _DAY + hour * 3600 + minute * 60 - _offset(*matched.groups()[4:])
    return _instant(seconds, 6, second, matched[4])


def duration_form(value: object) -> str | None:
    """Return the comparable form of an ISO 8601 duration: its length in seconds.

    A duration with months or years has no length in seconds: its form equals that of
    the same number of months, and sorts after all lengths. None for anything else.
    """
    matched = _matched(_DURATION, value)
    if matched is None:
        return None
    parts = [int(part or 0) for part in matched.groups()[1:8]]
    years, months, weeks, days, hours, minutes, seconds = parts
    length = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
    form = _signed(
        matched[1] == "-",
        str(length).rjust(_DURATION_DIGITS, "0"),
        matched[9] or "",
    )
    if not years and not months:
        return form
    all_months = str(years * 12 + months).rjust(_MONTH_DIGITS, "0")
    return f"{MONTHS_PREFIX}{matched[1].strip('+')}{all_months}{form}"


def _matched(
    pattern: re.Pattern[str],
    value: object,
) -> re.Match[str] | None:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return None
    return pattern.fullmatch(value)


def _signed(
    negative: bool,
    integer: str,
    fraction: str,
) -> str:
    """Return the form of a number; ``integer`` has a fixed width."""
    digits = integer + fraction.rstrip("0")
    if not negative or not digits.strip("0"):
        return "p" + digits
    # Negative numbers sort in reverse: complement the digits, and let "~" put a longer
    # text first.
    return "n" + digits.translate(_COMPLEMENT) + "~"


def _instant(
    seconds: int,
    width: int,
    second: int,
    fraction: str | None,
) -> str:
    """Return the form of a moment; a leap second comes after second 59."""
    leap = "~" if second == 60 else ""
    text = str(seconds + second - len(leap)).rjust(width, "0")
    digits = (fraction or "").rstrip("0")
    return f"{text}{leap}.{digits}" if digits else text + leap


def _offset(
    sign: str | None,
    hours: str | None,
    minutes: str | None,
) -> int:
    """Return an offset from UTC in seconds."""
    seconds = int(hours or 0) * 3600 + int(minutes or 0) * 60
    return -seconds if sign == "-" else seconds


def _days(
    year: int,
    month: int,
    day: int,
) -> int:
    """Return the days from a fixed day before year 0 of the Gregorian calendar.

    Source: H. Hinnant, chrono-compatible low-level date algorithms. The year begins
    in March, so that the leap day is its last one.
    """
    if month <= 2:
        year -= 1
        month += 12
    era, year_of_era = divmod(year + 400, 400)
    day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    leap_days = year_of_era // 4 - year_of_era // 100
    return era * _DAYS_OF_400_YEARS + year_of_era * 365 + leap_days + day_of_year
