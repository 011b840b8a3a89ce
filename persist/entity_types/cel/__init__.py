"""The Common Expression Language (CEL): commands and migrations run it, filters become
SQL."""
