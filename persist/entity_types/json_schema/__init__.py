"""JSON Schema: which schemas are accepted, and validation by them within a budget.

``conversion`` makes every schema one of draft 2020-12, ``schema_graph`` reads it,
``admission`` decides whether a client's schema is accepted, ``compiled_schema`` makes a
function of it that validates. There ``cost`` keeps what a validation takes within a
``budget``, ``defaults`` fills in, ``engine`` validates, ``evaluation`` and
``error_report`` say what is wrong with a value.
"""
