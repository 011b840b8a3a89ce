"""The rules of style that a machine can check: complexity, density and plain names."""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import complexipy
import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(
    path
    for folder in ("app", "migrations", "persist")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.relative_to(ROOT).parts
)
TESTS = sorted(
    path
    for folder in ("benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)  # has the words
)
TEXTS = [
    *(ROOT / name for name in ("benchmarks/RESULTS.md", "tests/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / name for name in ("Makefile", "Dockerfile", "compose.yaml", ".ci/run")),
    *sorted(path for path in (ROOT / "deploy").iterdir() if path.is_file()),
]

RUFF = (sys.executable, "-m", "ruff", "check", "--no-cache", "--exit-zero")

MOST_COMPLEX = 10
"""Cognitive complexity of a function, as SonarSource defines it."""

DENSEST = 8.0
"""Tokens a line of code, the average of a file."""

PROTOCOL = "Protocol"
"""The base of classes whose methods have no body. Their lines are signatures, which
consist of types: they cannot be packed, and nothing can be split from them."""

NO_TOKEN = {
    *(tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.COMMENT, tokenize.ENDMARKER, tokenize.ENCODING),
}

WORDS = (
    *("anew", "told", "held", "shown", "gone", "alone", "together", "lent"),
    *("arrival", "arrivals", "lifting", "crowded", "beside", "lane", "lanes"),
    *("traffic", "figures", "patience", "piece", "pieces", "shall"),
)
"""Words that this project once used in a meaning of its own. Write the usual term."""

NAMES = (
    *WORDS,
    *("most", "place", "places", "whole", "targets", "front", "shapes", "draft"),
    *("know", "natural", "judge", "judged", "crossed", "upto", "brought", "wish"),
    *("claim", "claims", "refuter", "refuters", "refutes", "denies", "misfits"),
    *("unfit", "tally", "sane", "spare", "weighed", "befores", "pasts"),
)
"""Words that are fine in a sentence and say nothing in a name."""

TERMS = (
    r"410 `?Gone",
    r"(?i)changes[-_]?gone",  # the code of an error, and its class
    r"\bGone\b",
    r'"pieces"|SELECT pieces|snapshot_pieces',  # a table and a column that exist
    r"ChangesGone",  # the class of the problem ``changes-gone``
    r"(?i)draft[- ]?\d",
    r"in[-_ ]place",
)
"""Standard terms, and members of the contract, that contain such a word."""


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        first = node.body[0] if isinstance(node, owners) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            yield first.value


def protocol_methods(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        if PROTOCOL in map(ast.unparse, node.bases):
            yield from (each for each in node.body if isinstance(each, ast.FunctionDef))


def density(path: Path) -> float:
    """Return the tokens a line of code.

    Comments, docstrings, blank lines and the methods of protocols do not count. The
    dotted name of a module that is imported is one token.
    """
    text = path.read_text()
    tree = ast.parse(text)
    skipped: set[int] = set()
    uncounted: list[ast.expr | ast.stmt] = [*docstrings(tree), *protocol_methods(tree)]
    for node in uncounted:
        skipped |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    dots = sum(
        (node.module or "").count(".")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    )
    tokens, lines = -2 * dots, set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_TOKEN and token.start[0] not in skipped:
            tokens += 1
            lines |= set(range(token.start[0], token.end[0] + 1))
    return tokens / len(lines) if lines else 0.0


def too_dense(path: Path) -> list[str]:
    found = density(path)
    return [f"{found:.2f} tokens a line"] if found > DENSEST else []


def too_complex(path: Path) -> list[str]:
    return [
        f"{function.name} has {function.complexity}"
        for function in complexipy.file_complexity(str(path)).functions
        if function.complexity > MOST_COMPLEX
    ]


def private_words(path: Path, of_names: tuple[str, ...] = NAMES) -> list[str]:
    text = path.read_text()
    if path.suffix != ".py":
        return found_words(text, WORDS)
    names, sentences = [], []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            names.append(token.string)
        elif token.type in {tokenize.COMMENT, tokenize.STRING}:
            sentences.append(token.string)
    words = found_words("\n".join(sentences), WORDS)
    return words + found_words("\n".join(names).replace("_", " "), of_names)


def private_words_of_tests(path: Path) -> list[str]:
    """Return the private words of a test, whose names are sentences."""
    return private_words(path, WORDS)


def found_words(text: str, words: tuple[str, ...]) -> list[str]:
    for term in TERMS:
        text = re.sub(term, "", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    pattern = rf"(?<![A-Za-z])(?:{'|'.join(words)})(?![A-Za-z])"
    return sorted({word.lower() for word in re.findall(pattern, text, re.IGNORECASE)})


@lru_cache
def shadowed_names() -> dict[str, list[str]]:
    """Return the names of builtins that files give to something else (ruff A)."""
    outcome = subprocess.run(
        [*RUFF, "--select", "A", "--output-format", "json", *map(str, CODE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = {}
    for fault in json.loads(outcome.stdout):
        found.setdefault(fault["filename"], []).append(fault["message"])
    return found


def shadowing(path: Path) -> list[str]:
    return shadowed_names().get(str(path), [])


def parallel_assignments(path: Path) -> list[str]:
    """Return the assignments of several values that one line each would show."""
    return [
        f"line {node.lineno}: assign one value a line"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
    ]


RULES: dict[str, tuple[Callable[[Path], list[str]], list[Path]]] = {
    "complexity": (too_complex, CODE),
    "density": (too_dense, CODE),
    "builtins": (shadowing, CODE),
    "assignments": (parallel_assignments, CODE),
    "words": (private_words, [*CODE, *TEXTS]),
    "words of tests": (private_words_of_tests, TESTS),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_the_rule(rule: str) -> None:
    faults_of, paths = RULES[rule]
    faults = {short(path): faults for path in paths if (faults := faults_of(path))}
    assert faults == {}


def test_a_name_or_a_sentence_with_a_private_word_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""At most one, in place; 410 Gone."""\nMOST_ROWS = 1  # held\n')
    assert private_words(module) == ["held", "most"]


def test_complexity_and_density_are_measured(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    loops = "".join(f"{'    ' * (depth + 1)}for x in y:\n" for depth in range(5))
    module.write_text(f"def deep(y):\n{loops}{'    ' * 6}pass\n")
    assert too_complex(module) == ["deep has 15"]
    module.write_text(
        '"""Words that do not count."""\n\nx = [1, 2, 3, 4, 5]  # nor these\n'
    )
    assert density(module) == 13


def test_methods_of_protocols_do_not_count_as_dense(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    method = "    def m(self, a: int, b: int) -> int: return a + b\n"
    module.write_text(f"class P(Protocol):\n{method}")
    assert density(module) == 6
    module.write_text(f"class P(Other):\n{method}")
    assert density(module) > DENSEST
