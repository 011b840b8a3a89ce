"""``POST /transactions``: many writes, of several collections, as one."""
