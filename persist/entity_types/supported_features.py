"""What an entity class may use: the tables that decide, and that the reference lists.

``docs/reference/entity-classes.md`` has a row for each of these. A test builds a class
for each of them and runs it on both databases.
"""

import datetime
import decimal
import ipaddress
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import pydantic
from pydantic import networks


class Refusal(NamedTuple):
    """Why a feature is refused, and what to write instead."""

    reason: str
    instead: str


SCALARS: Mapping[Any, str] = {
    bool: "true or false; 1 and 0 are refused",
    int: "an integer within 64 bits; true is refused",
    float: "a finite number that a double holds exactly, if it is an integer; 30.0 is"
    " stored as 30",
    str: "text without U+0000 and lone surrogates",
    decimal.Decimal: "text with its digits as written, at most 38 digits",
    datetime.datetime: "a time of RFC 3339 with a zone, at most six digits of a"
    " second's fraction; a field is stored in UTC",
    datetime.date: "text like 2026-11-22",
    datetime.time: "text like 17:00:00, with or without an offset",
    datetime.timedelta: "a duration of ISO 8601 without years and months, stored in"
    " days, hours, minutes and seconds",
    uuid.UUID: "text in groups of 8, 4, 4, 4 and 12 digits, stored in lower case",
    ipaddress.IPv4Address: "text, stored in its shortest form",
    ipaddress.IPv6Address: "text, stored in its shortest form",
    networks.AnyUrl: "text, stored in the normal form of URLs",
    networks.HttpUrl: "text, stored in the normal form of URLs",
    pydantic.EmailStr: "text, the domain stored in lower case; needs email-validator",
    pydantic.AwareDatetime: "as datetime",
    pydantic.PastDatetime: "as datetime; it must lie in the past",
    pydantic.PastDate: "as date; it must lie in the past",
}
"""Types of single values that are kept, with the rule."""

COMPOSITES: Mapping[str, str] = {
    "Any": "any JSON value, kept as it is",
    "T | None": "the value or null; required unless it has a default",
    "A | B": "the first branch that fits best; not with Decimal",
    "Literal[...]": "one of the values; true is not 1",
    "Enum": "the value of a member; true is not 1",
    "list[T]": "an array",
    "set[T]": "an array without duplicates, stored in one order; T is a single value",
    "frozenset[T]": "as set[T]",
    "tuple[A, B]": "an array of that length",
    "tuple[T, ...]": "an array",
    "dict[str, T]": "an object",
    "nested model": "a closed object: a class that inherits SQLModel or BaseModel",
    "Annotated[T, ...]": "T with its constraints and validators",
}
"""Types made of other types, with the rule."""

_MASKED = Refusal(
    "it is written as asterisks, so the value would be lost",
    "keep secrets elsewhere, or write str",
)
_BYTES = Refusal("JSON has no bytes", "write str, for example in Base64")
_FUTURE = Refusal(
    "a stored value becomes invalid when its time comes",
    "write datetime or date, and check the value in a command",
)

REFUSED_TYPES: Mapping[Any, Refusal] = {
    pydantic.SecretStr: _MASKED,
    pydantic.SecretBytes: _MASKED,
    bytes: _BYTES,
    complex: Refusal("JSON has no complex numbers", "write two fields of float"),
    pydantic.Json: Refusal(
        "it is sent as text and stored as a value, so the answer differs from what"
        " was sent",
        "write dict[str, Any], list[Any] or Any, and send the value itself",
    ),
    pydantic.NaiveDatetime: Refusal(
        "a time without a zone names no moment", "write datetime"
    ),
    pydantic.FutureDate: _FUTURE,
    pydantic.FutureDatetime: _FUTURE,
    pydantic.ByteSize: Refusal(
        "it accepts text like 10MB and answers a number", "write int"
    ),
    pathlib.Path: Refusal("its text depends on the operating system", "write str"),
    re.Pattern: Refusal("a compiled pattern is not data", "write str"),
}
"""Types that are refused, with the reason."""

UNKNOWN_TYPE = Refusal(
    "the service does not know how to keep it exactly",
    "write a type of the reference of entity classes, or a nested model",
)

_COLUMN = Refusal(
    "the service makes the columns itself",
    "take it out; the type of the field decides the column",
)
_ONE_NAME = Refusal(
    "a member has one name, in what is sent and in what is answered",
    "write alias=",
)
_IGNORED = "pydantic ignores it"
_OTHER_SCHEMA = Refusal(
    "the schema would say something else than what is checked",
    "write constraints as arguments of Field; title, description, examples,"
    " deprecated, $comment and x-... may stand there",
)

ANNOTATIONS = frozenset(
    ("title", "description", "example", "examples", "deprecated", "$comment")
)
"""Members of ``json_schema_extra`` that change no verdict; ``x-...`` is one, too."""

FIELD_ARGUMENTS: Mapping[str, Refusal] = {
    "primary_key": Refusal(
        "the envelope of a record has the id",
        "write the field without primary_key; unique=True keeps values unique",
    ),
    "foreign_key": Refusal(
        "collections do not refer to one another by keys of tables",
        "write the id as a uuid.UUID field",
    ),
    "ondelete": Refusal("there are no foreign keys", "take it out"),
    "nullable": Refusal(
        "the type says whether a field may be null", "write the type as T | None or T"
    ),
    "sa_type": _COLUMN,
    "sa_column": _COLUMN,
    "sa_column_args": _COLUMN,
    "sa_column_kwargs": _COLUMN,
    "exclude": Refusal(
        "the value would be accepted and never stored", "take the field out"
    ),
    "exclude_if": Refusal(
        "the value would be accepted and not always stored", "take it out"
    ),
    "validation_alias": _ONE_NAME,
    "serialization_alias": _ONE_NAME,
    "regex": Refusal(_IGNORED, 'write schema_extra={"pattern": "..."}'),
    "const": Refusal(_IGNORED, "write the type Literal[...]"),
    "unique_items": Refusal(_IGNORED, "write the type set[...]"),
    "include": Refusal(_IGNORED, "take it out"),
    "allow_mutation": Refusal(_IGNORED, "take it out"),
    "frozen": Refusal("PUT and patches change every member", "take it out"),
    "json_schema_extra": _OTHER_SCHEMA,
}
"""Arguments of ``Field`` that are refused, with the reason."""

KEPT_FIELD_ARGUMENTS: Mapping[str, str] = {
    "default": "filled in if the member is absent",
    "default_factory": "called if the member is absent; the result is validated",
    "alias": "the name of the member; any name that JSON allows",
    "title": "an annotation",
    "description": "an annotation",
    "gt": "a constraint, as ge, lt, le and multiple_of",
    "min_length": "a constraint, as max_length",
    "max_digits": "a constraint of Decimal, as decimal_places",
    "discriminator": "the member that decides the branch of a union of models",
    "index": "an index of this field: a single value",
    "unique": "unique within a workspace, null never collides: a single value",
    "schema_extra": "examples, and what else pydantic's own Field takes",
}
"""Arguments of ``Field`` that are kept, with the rule."""

_EXTRA = Refusal(
    "a record holds the declared members only",
    "take extra out, and declare a field of dict[str, Any] for open data",
)
_OTHER_FORM = Refusal(
    "the value would be answered in another form than it is accepted in", "take it out"
)

CONFIGURATION: Mapping[str, Refusal] = {
    "extra": _EXTRA,
    "json_schema_extra": _OTHER_SCHEMA,
    "json_schema_mode_override": Refusal(
        "the schema would describe what is answered instead of what is accepted",
        "take it out",
    ),
    "validate_by_alias": Refusal(
        "the schema names a member by its alias, which would not be accepted",
        "take it out",
    ),
    "json_encoders": _OTHER_FORM,
    "ser_json_timedelta": _OTHER_FORM,
    "ser_json_temporal": _OTHER_FORM,
    "ser_json_bytes": _OTHER_FORM,
    "ser_json_inf_nan": _OTHER_FORM,
    "val_json_bytes": _OTHER_FORM,
    "val_temporal_unit": _OTHER_FORM,
    "regex_engine": Refusal(
        "Python's regular expressions may take exponential time", "take it out"
    ),
}
"""Members of ``model_config`` that are refused, with the reason."""

MAX_FIELDS = 400
"""Fields of a class: a row of PostgreSQL has 8 kB, and a long value takes 18 bytes of
it."""

CLASS_FEATURES: Mapping[str, Refusal] = {
    "table=True": Refusal(
        "the service makes the table itself",
        "write it without table=True and without id; the envelope has one",
    ),
    "__tablename__": Refusal(
        "the name of the collection names the table", "take it out"
    ),
    "__table_args__": Refusal(
        "the service makes the table itself",
        'write unique=[["a", "b"]] or indexes=[["a", "b"]] in @entity',
    ),
    "frozen=True": Refusal(
        "PUT, patches and commands change the members of a record",
        "take it out; a nested model may be frozen",
    ),
    "Relationship": Refusal(
        "a record holds its own data only", "write the id of the other record"
    ),
    "@field_serializer": Refusal(
        "the value would be answered in another form than it is stored in",
        "take it out, or write a @computed_field",
    ),
    "@model_serializer": Refusal(
        "the data would be answered in another form than it is stored in",
        "take it out, or write a @computed_field",
    ),
    "PlainSerializer": Refusal(
        "the value would be answered in another form than it is stored in",
        "take it out, or write a @computed_field",
    ),
    "__get_pydantic_core_schema__": Refusal(
        "it may accept something else than the schema says",
        "take it out, or write a validator",
    ),
    "__get_pydantic_json_schema__": Refusal(
        "the schema would say something else than what is checked",
        "take it out, and write constraints as arguments of Field",
    ),
    "equal names": Refusal(
        "two members have this name",
        "give each field, alias and @computed_field its own name",
    ),
    "many fields": Refusal(
        f"a class can have {MAX_FIELDS} fields",
        "put some of them into a nested model",
    ),
    "compiled pattern": Refusal(
        "its flags are not part of the schema, and Python's regular expressions may"
        " take exponential time",
        'write the pattern as text: pattern="^[a-z]+$"',
    ),
    "constraint": Refusal(
        "pydantic cannot check the constraint on this type",
        "put it on the branch it is for: Annotated[int, Field(ge=1)] | str",
    ),
}
"""Features of classes that are refused, with the reason."""

KEPT_CLASS_FEATURES: Mapping[str, str] = {
    "@field_validator": "runs on every write; what it returns must stay as it is when"
    " it runs again",
    "@model_validator": "as @field_validator",
    "@computed_field": "part of records and lists, never stored, not accepted; null"
    " if its code fails",
    "inheritance": "fields and commands of base classes count as the class's own",
    "ClassVar": "no field",
    "PrivateAttr": "no field, never stored",
    "docstring": "the description of the collection; its own only",
}
"""Features of classes that are kept, with the rule."""
