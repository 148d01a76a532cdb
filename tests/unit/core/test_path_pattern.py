"""Paths with names."""

from __future__ import annotations

import pytest

from interpose.core.path_pattern import PathPattern, pattern_of, segments_of


@pytest.mark.parametrize(
    ("text", "pattern", "anonymous"),
    [
        ("/users", None, ""),
        ("/users/{id}", PathPattern(("users", None), ("id",)), "/users/{}"),
        ("/{a}/b/{c}/", PathPattern((None, "b", None, ""), ("a", "c")), "/{}/b/{}/"),
        ("/f/{rest...}", PathPattern(("f",), (), "rest"), "/f/{...}"),
        ("/{all...}", PathPattern((), (), "all"), "/{...}"),
    ],
)
def test_a_path_is_read(text: str, pattern: PathPattern | None, anonymous: str) -> None:
    found = pattern_of(text)
    assert found == pattern
    if found is not None:
        assert found.anonymous == anonymous


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/users/{id}.json", "whole segments"),
        ("/users/{}", "whole segments"),
        ("/users/{Id}", "whole segments"),
        ("/users/id}", "whole segments"),
        ("/{a}/{a}", "called a"),
        ("/{client}", "another name"),
        ("/{rest...}/x", "takes all that follows"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pattern_of(text)


def test_names_get_what_stands_at_their_places() -> None:
    pattern = pattern_of("/a/{b}/c/{d...}")
    assert pattern is not None
    assert pattern.captured(segments_of("/a/1/c/2/3")) == {"b": "1", "d": "2/3"}
