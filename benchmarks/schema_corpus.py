"""Schema corpus: how many schemas of a folder can be registered, and whether documents
are judged as two other validators judge them.

    python -m benchmarks.schema_corpus schemas/json --positive test --negative negative_test

Schemas are ``*.json`` files. The documents of ``name.json`` are the ``*.json`` files in
``name/`` of the folders of documents, which is how SchemaStore keeps them.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema.validators import validator_for

from persist.domain.errors import InvalidData, InvalidSchema
from persist.domain.strict_json import parse
from persist.entity_types.json_schema.admission import Admitted, admit
from persist.entity_types.json_schema.conversion import dialect_named
from persist.entity_types.json_schema.references import OUTSIDE

LISTED_REFUSALS = 40
SLOW_SECONDS = 1.0


@dataclass
class Corpus:
    """What was found in a corpus."""

    by_draft: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)
    documents: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def main() -> None:
    """Print the table of a corpus."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("schemas", type=Path)
    arguments.add_argument("--positive", type=Path, help="folder of valid documents")
    arguments.add_argument("--negative", type=Path, help="folder of invalid documents")
    options = arguments.parse_args()
    corpus = Corpus()
    for path in sorted(options.schemas.rglob("*.json")):
        source = _read(path)
        if not isinstance(source, dict):
            continue
        admitted = _register(path.name, source, corpus)
        if admitted is None:
            continue
        for folder in (options.positive, options.negative):
            if folder is not None:
                _judge_documents(source, admitted, folder / path.stem, corpus)
    _print(corpus)


def _read(path: Path) -> Any:
    try:
        return parse(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), any_number=True)
    except Exception:  # noqa: BLE001 - a file that is no strict JSON is no schema
        return None


def _register(name: str, source: dict[str, Any], corpus: Corpus) -> Admitted | None:
    dialect = dialect_named(source)
    column = dialect.title if dialect else "another draft"
    begun = time.process_time()
    admitted, outcome = None, "registered"
    try:
        admitted = admit(source)
    except InvalidSchema as error:
        outcome = "refused"
        if any(OUTSIDE in detail for _, detail in error.errors):
            outcome = "refers to other documents"
        else:
            corpus.refusals.append((name, str(error)))
    seconds = time.process_time() - begun
    if seconds > SLOW_SECONDS:
        corpus.slow.append((seconds, name))
    corpus.by_draft[column, outcome] += 1
    return admitted


def _judge_documents(
    source: dict[str, Any], admitted: Admitted, folder: Path, corpus: Corpus
) -> None:
    """Compare the verdicts of three validators on every document of a folder."""
    validate = admitted.compiled.validator(InvalidData)
    others = list(_others(source))
    for path in sorted(folder.glob("*.json")):
        document = _read(path)
        if not isinstance(document, dict):
            continue
        accepted = _is_valid(validate, document)
        outcome = "stored" if accepted else "refused"
        corpus.documents[f"of {folder.parent.name} {outcome}"] += 1
        verdicts = {other(document) for other in others} - {None}
        if len(verdicts) != 1:
            corpus.documents["judged differently by the others"] += 1
            continue
        agrees = accepted == verdicts.pop()
        corpus.documents["judged alike" if agrees else "judged differently"] += 1
        if not agrees:
            corpus.disagreements.append(f"{folder.name}/{path.name}")


def _others(source: dict[str, Any]) -> Iterator[Callable[[Any], bool | None]]:
    """Yield what other validators say of a document, None where they fail: Python's
    patterns, for one, are not those of ECMA-262."""
    reference = validator_for(source)(source)
    yield partial(_verdict, reference.is_valid)
    with suppress(ValueError):
        yield partial(
            _verdict, jsonschema_rs.validator_for(source, offline=True).is_valid
        )


def _verdict(is_valid: Callable[[Any], object], document: Any) -> bool | None:
    try:
        return bool(is_valid(document))
    except Exception:  # noqa: BLE001 - whatever it is, it is no verdict
        return None


def _is_valid(validate: Callable[[Any], Any], document: Any) -> bool:
    try:
        validate(json.loads(json.dumps(document)))
    except InvalidData:
        return False
    return True


def _print(corpus: Corpus) -> None:
    outcomes = ("registered", "refused", "refers to other documents")
    drafts = sorted({dialect for dialect, _ in corpus.by_draft})
    print(f"{'dialect':16}" + "".join(f"{outcome:>28}" for outcome in outcomes))
    for dialect in drafts:
        counts = (corpus.by_draft[dialect, outcome] for outcome in outcomes)
        print(f"{dialect:16}" + "".join(f"{count:28}" for count in counts))
    registered = _total(corpus, "registered")
    independent = registered + _total(corpus, "refused")
    share = 100 * registered / max(independent, 1)
    print(f"\n{registered} of {independent} without outside references: {share:.1f} %")
    for name, count in corpus.documents.items():
        print(f"documents {name}: {count}")
    for line in corpus.disagreements[:LISTED_REFUSALS]:
        print(f"  {line}")
    for name, reason in corpus.refusals[:LISTED_REFUSALS]:
        print(f"refused  {name:40.40} {reason:.150}")
    for seconds, name in sorted(corpus.slow, reverse=True):
        print(f"slow     {name:40.40} {seconds:.1f} s")


def _total(corpus: Corpus, wanted: str) -> int:
    return sum(
        count for (_, outcome), count in corpus.by_draft.items() if outcome == wanted
    )


if __name__ == "__main__":
    main()
