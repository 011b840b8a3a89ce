"""What the contract suite uses: live servers, databases, and a client's view of a
collection."""

import pytest

# A failed assertion in them says what it compared, as one in a test does.
pytest.register_assert_rewrite(
    "tests.support.collection", "tests.support.load", "tests.support.problems"
)
