"""Text cache: what was asked for last is kept, up to a number of characters."""

from persist.domain.text_cache import TextCache


def test_what_was_asked_for_last_is_kept_up_to_a_number_of_characters() -> None:
    asked: list[str] = []

    def compute(text: str) -> list[str]:
        asked.append(text)
        return [text]

    cache = TextCache(compute, 4)
    first = cache("aa")
    assert cache("b") == ["b"]
    assert cache("aa") is first
    cache("cc")
    assert cache("aa") is first
    assert cache("long one") == cache("long one")
    assert asked == ["aa", "b", "cc", "long one", "long one"]
    assert cache("b") == ["b"]
    assert asked[-1] == "b"
