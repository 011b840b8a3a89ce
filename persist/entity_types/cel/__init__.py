"""The Common Expression Language (CEL): commands, migrations and filters of changes
run it; filters of lists become SQL."""
