"""Functions of PostgreSQL that return what ``domain/comparable``,
``domain/case_folding`` and ``domain/calculation`` return in Python.

They are IMMUTABLE and depend on no time zone, ``DateStyle`` or locale, so that indexes
can be built over them. They call nothing outside ``pg_catalog``, so that ``pg_dump``
can restore those indexes. For text that has no comparable form they return NULL.
"""

from persist.domain.case_folding import folded_pairs
from persist.domain.comparable import MAX_DECIMAL_DIGITS, MAX_TEXT, MONTHS_PREFIX
from persist.storage.sql import quoted_text

_ATTRIBUTES = "RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE"

_DECIMAL = rf"""
CREATE OR REPLACE FUNCTION persist_decimal_form(value text) {_ATTRIBUTES} AS $$
DECLARE
    parsed numeric;
    integral text;
    fraction text;
    digits text;
BEGIN
    IF length(value) > {MAX_TEXT} OR value !~
        '^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{{1,3}})?$'
    THEN RETURN NULL; END IF;
    parsed := value::numeric;
    integral := ltrim(trunc(abs(parsed))::text, '0');
    fraction := split_part(parsed::text, '.', 2);
    IF length(integral) + length(fraction) > {MAX_DECIMAL_DIGITS}
    THEN RETURN NULL; END IF;
    digits := lpad(integral, {MAX_DECIMAL_DIGITS}, '0') || rtrim(fraction, '0');
    IF parsed >= 0 THEN RETURN 'p' || digits; END IF;
    RETURN 'n' || translate(digits, '0123456789', '9876543210') || '~';
END $$"""

_DATE_TIME = rf"""
CREATE OR REPLACE FUNCTION persist_date_time_form(value text) {_ATTRIBUTES} AS $$
DECLARE
    part text[] := regexp_match(value,
        '^([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})[Tt ]'
        '([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}})(?:\.([0-9]+))?'
        '(?:[Zz]|([+-])([0-9]{{2}}):([0-9]{{2}}))$');
    year int;
    month int;
    days int;
    time_offset int;
    seconds bigint;
    second int;
    digits text;
BEGIN
    IF part IS NULL OR length(value) > {MAX_TEXT} THEN RETURN NULL; END IF;
    year := part[1]::int + 400;
    month := part[2]::int;
    IF month <= 2 THEN
        year := year - 1;
        month := month + 12;
    END IF;
    days := year / 400 * 146097 + mod(year, 400) * 365
        + mod(year, 400) / 4 - mod(year, 400) / 100
        + (153 * (month - 3) + 2) / 5 + part[3]::int - 1;
    time_offset := coalesce(part[9], '0')::int * 3600
        + coalesce(part[10], '0')::int * 60;
    IF part[8] = '-' THEN time_offset := -time_offset; END IF;
    seconds := days::bigint * 86400
        + part[4]::int * 3600 + part[5]::int * 60 - time_offset;
    second := part[6]::int;
    digits := rtrim(coalesce(part[7], ''), '0');
    RETURN lpad((seconds + CASE second WHEN 60 THEN 59 ELSE second END)
            ::text, 12, '0')
        || CASE second WHEN 60 THEN '~' ELSE '' END
        || CASE digits WHEN '' THEN '' ELSE '.' || digits END;
END $$"""

_TIME = rf"""
CREATE OR REPLACE FUNCTION persist_time_form(value text) {_ATTRIBUTES} AS $$
DECLARE
    part text[] := regexp_match(value,
        '^([0-9]{{2}}):([0-9]{{2}})(?::([0-9]{{2}})(?:\.([0-9]+))?)?'
        '(?:[Zz]|([+-])([0-9]{{2}}):([0-9]{{2}}))?$');
    time_offset int;
    second int;
    digits text;
BEGIN
    IF part IS NULL OR length(value) > {MAX_TEXT} THEN RETURN NULL; END IF;
    time_offset := coalesce(part[6], '0')::int * 3600
        + coalesce(part[7], '0')::int * 60;
    IF part[5] = '-' THEN time_offset := -time_offset; END IF;
    second := coalesce(part[3], '0')::int;
    digits := rtrim(coalesce(part[4], ''), '0');
    RETURN lpad((86400 + part[1]::int * 3600 + part[2]::int * 60 - time_offset
            + CASE second WHEN 60 THEN 59 ELSE second END)::text, 6, '0')
        || CASE second WHEN 60 THEN '~' ELSE '' END
        || CASE digits WHEN '' THEN '' ELSE '.' || digits END;
END $$"""

_DURATION = rf"""
CREATE OR REPLACE FUNCTION persist_duration_form(value text) {_ATTRIBUTES} AS $$
DECLARE
    part text[] := regexp_match(value,
        '^([+-]?)P(?=.)(?:([0-9]{{1,15}})Y)?(?:([0-9]{{1,15}})M)?'
        '(?:([0-9]{{1,15}})W)?(?:([0-9]{{1,15}})D)?'
        '(?:T(?=.)(?:([0-9]{{1,15}})H)?(?:([0-9]{{1,15}})M)?'
        '(?:([0-9]{{1,15}})(?:[.,]([0-9]+))?S)?)?$');
    months numeric;
    seconds numeric;
    digits text;
BEGIN
    IF part IS NULL OR length(value) > {MAX_TEXT} THEN RETURN NULL; END IF;
    months := coalesce(part[2], '0')::numeric * 12 + coalesce(part[3], '0')::numeric;
    seconds := coalesce(part[4], '0')::numeric * 604800
        + coalesce(part[5], '0')::numeric * 86400
        + coalesce(part[6], '0')::numeric * 3600
        + coalesce(part[7], '0')::numeric * 60
        + coalesce(part[8], '0')::numeric;
    digits := lpad(seconds::text, 25, '0') || rtrim(coalesce(part[9], ''), '0');
    IF part[1] = '-' AND digits ~ '[1-9]' THEN
        digits := 'n' || translate(digits, '0123456789', '9876543210') || '~';
    ELSE
        digits := 'p' || digits;
    END IF;
    IF months = 0 THEN RETURN digits; END IF;
    RETURN '{MONTHS_PREFIX}' || CASE part[1] WHEN '-' THEN '-' ELSE '' END
        || lpad(months::text, 20, '0') || digits;
END $$"""

_FOLD = """
CREATE OR REPLACE FUNCTION persist_fold(value text) {attributes} AS $$
BEGIN
    IF octet_length(value) = length(value) THEN
        RETURN lower(value COLLATE "C");
    END IF;
    RETURN translate(lower(value COLLATE "C"), {characters}, {folded});
END $$"""

# An EXCEPTION begins a subtransaction, which servers before PostgreSQL 17 refuse in a
# parallel query.
_CALCULATE = """
CREATE OR REPLACE FUNCTION persist_calculate(operation text, a {number}, b {number})
RETURNS {number} LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $$
BEGIN
    CASE operation
        WHEN 'add' THEN RETURN a + b;
        WHEN 'subtract' THEN RETURN a - b;
        WHEN 'multiply' THEN RETURN a * b;
        WHEN 'divide' THEN RETURN a / b;
        {remainder}
    END CASE;
EXCEPTION WHEN numeric_value_out_of_range OR division_by_zero THEN RETURN NULL;
END $$"""

_REMAINDER = "WHEN 'remainder' THEN RETURN mod(a, b);"


def function_statements() -> list[str]:
    """Return the statements that create the functions, or replace them."""
    characters, folded = folded_pairs()
    fold = _FOLD.format(
        attributes=_ATTRIBUTES,
        characters=quoted_text(characters),
        folded=quoted_text(folded),
    )
    of_integers = _CALCULATE.format(number="bigint", remainder=_REMAINDER)
    of_doubles = _CALCULATE.format(number="float8", remainder="")
    forms = [_DECIMAL, _DATE_TIME, _TIME, _DURATION]
    return [*forms, fold, of_integers, of_doubles]
