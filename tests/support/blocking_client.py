"""Write ``persist/client/blocking.py``, which ``asynchronous.py`` determines.

The two clients differ in words only, so one is written by hand and the other made of it.
``python -m tests.support.blocking_client`` writes the file; a test compares it.
"""

import re
import subprocess
import sys

from tests.support.forked import ROOT

SOURCE = ROOT / "persist/client/asynchronous.py"
RESULT = ROOT / "persist/client/blocking.py"

HEADER = '''"""Client: the blocking client, method for method as ``AsyncClient``.

``make blocking-client`` writes this file from ``asynchronous.py``: change that one.
"""'''

WORDS = {
    "AsyncClient": "Client",
    "AsyncCollection": "Collection",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "async_content": "content",
    "asynccontextmanager": "contextmanager",
    "asyncio": "time",
}
"""The words of the asynchronous client, each with the blocking one."""

FIXES = ("--select=I,UP028", "--fix", "--unsafe-fixes")
"""Sort the imports, and ``yield from`` where the asynchronous client cannot."""

_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")
_KEYWORD = re.compile(r"\b(async|await) ")
_DOCSTRING = re.compile(r'""".*?"""', re.DOTALL)
_RUFF = (sys.executable, "-m", "ruff")


def blocking_client() -> str:
    """Return the text of the blocking client."""
    text = _WORD.sub(lambda found: WORDS[found[1]], SOURCE.read_text())
    text = _KEYWORD.sub("", text)
    text = _DOCSTRING.sub(lambda _: HEADER, text, count=1)
    linted = _ruff("check", *FIXES, "--quiet", text=text)
    return _ruff("format", "--quiet", text=linted)


def _ruff(*arguments: str, text: str) -> str:
    outcome = subprocess.run(
        [*_RUFF, *arguments, f"--stdin-filename={RESULT}", "-"],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return outcome.stdout


if __name__ == "__main__":
    RESULT.write_text(blocking_client())
