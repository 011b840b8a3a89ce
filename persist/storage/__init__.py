"""Tables and transactions: the only package with SQL.

``database`` is what the other packages call. ``writer`` commits many writes at once,
``records`` and ``journal`` store what they change, ``query_sql`` makes SQL of
a query and ``condition_sql`` of its condition.
What differs between SQLite and PostgreSQL is in ``dialect``.
"""
