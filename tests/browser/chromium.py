"""The browser of tests: Debian's Chromium, with no way to other machines."""

from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
    ),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
