r"""Patterns: ECMA-262 regular expressions in the syntax of the engine.

The engine reads most of ECMA-262 as the standard means it (``\d``, ``\w`` and ``\s``
among it). What it reads otherwise is rewritten here, token by token. Source: ECMA-262,
section 22.2, with the ``u`` flag.
"""

import re
from functools import lru_cache

_TOKEN = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # surrogate pair
    r"|\\c[A-Za-z]|\\.|\[\^\]|\[\]|\[\^?|\]|.",
    re.DOTALL,
)

_ANYWHERE = {r"\0": r"\x00", r"\<": "<", r"\>": ">"}

_OUTSIDE_CLASS = {
    ".": r"[^\n\r\u2028\u2029]",
    "[]": r"[^\s\S]",
    "[^]": r"[\s\S]",
    r"\b": r"(?-u:\b)",
    r"\B": r"(?-u:\B)",
}

_INSIDE_CLASS = {r"\b": r"\x08"}


@lru_cache(10_000)
def to_engine_syntax(pattern: str) -> str:
    """Return a pattern as the engine has to read it to match what ECMA-262 says."""
    if "(?s" in pattern:
        return pattern  # under this flag, which ECMA-262 lacks, a dot is anything
    translated = []
    in_class = False
    for token in _TOKEN.findall(pattern):
        special = _INSIDE_CLASS if in_class else _OUTSIDE_CLASS
        if len(token) == 12:
            translated.append(_code_point(token))
        elif in_class and token in ("[]", "[^]"):
            translated.append(token)
            in_class = False
        else:
            translated.append(special.get(token, _ANYWHERE.get(token, token)))
            in_class = _is_in_class(token, in_class)
    return "".join(translated)


def _is_in_class(token: str, before: bool) -> bool:
    return token.startswith("[") or (before and not token.startswith("]"))


def _code_point(pair: str) -> str:
    high, low = int(pair[2:6], 16), int(pair[8:], 16)
    number = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
    return f"\\u{{{number:X}}}"
