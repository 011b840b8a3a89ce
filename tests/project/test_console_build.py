"""The committed build of the console keeps its budgets, and needs no other host."""

import gzip
import json
import re
from pathlib import Path

from persist.api.console import INDEX, STATIC

ROOT = Path(__file__).parents[2]
FIRST_LOAD = 60 * 1024
ALL = 350 * 1024


def sizes() -> dict[str, int]:
    """Return the compressed size of each file, by its name."""
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    return {path.name: len(gzip.compress(path.read_bytes(), 6)) for path in files}


def test_the_console_keeps_its_budgets() -> None:
    page = (STATIC / INDEX).read_text(encoding="utf-8")
    files = sizes()
    first = [name for name in files if name == INDEX or name in page]
    assert len(first) == 3
    assert sum(files[name] for name in first) <= FIRST_LOAD
    assert sum(files.values()) <= ALL


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / INDEX).read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>(.+?)</script>", page) == []
    assert "<style" not in page
    assert "style=" not in page
    script = next(STATIC.glob("app-*.js")).read_text(encoding="utf-8")
    assert "eval(" not in script
    assert "new Function" not in script
    namespaces = {"http://www.w3.org"}
    examples = {"https://example.org"}
    assert set(re.findall(r"https?://[a-z0-9.-]+", script)) <= namespaces | examples


def test_the_lock_of_the_console_names_no_registry() -> None:
    lock = json.loads((ROOT / "console/package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert entry["integrity"].startswith("sha512-"), name
