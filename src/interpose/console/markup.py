"""HTML and XML for reading: one element a line, deeper ones further in. Never more than was asked for, never an error.

This is no parser: it needs no more of markup than where a tag begins and ends, so that what is broken, cut off or
hostile is shown like anything else. What is inside `pre`, `script`, `style` and `textarea` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_VERBATIM = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("pre", "script", "style", "textarea")}
_NAME = re.compile(r"</?([A-Za-z][^\s/>]{0,100})")
_SPACE = re.compile(r"\s+")
_DEEPEST = 30
_LONGEST_LINE = 120


def indented(text: str, most: int, *, is_html: bool) -> tuple[str, bool]:
    """The text, and whether there is more of it than `most` characters."""
    lines: list[str] = []
    size = depth = 0
    for token, is_verbatim in _tokens(text, is_html):
        written = token if is_verbatim else _SPACE.sub(" ", token).strip(" ")
        if not written.strip():
            continue
        is_tag = token.startswith("<") and not is_verbatim
        name = _NAME.match(token) if is_tag else None
        if name is not None and token.startswith("</"):
            depth = max(0, depth - 1)
        # A short text closes the line of its tag, and its end tag too: <b>text</b> is one line.
        previous = lines[-1] if lines else ""
        joins = bool(previous) and _closes(previous, written, name is not None)
        indent = "" if is_verbatim else "  " * min(depth, _DEEPEST)
        line = f"{previous}{written}" if joins else f"{indent}{written}"
        if joins:
            size -= len(lines.pop()) + 1
        size += len(line) + 1
        lines.append(line)
        if size > most:
            return "\n".join(lines)[:most], True
        if name is not None and token[1] not in "/!?" and not token.endswith("/>"):
            depth += not (is_html and name[1].lower() in _VOID)
    return "\n".join(lines), False


def _closes(previous: str, written: str, is_tag: bool) -> bool:
    """Whether `written` stays on the line of what was before: a short text behind its tag, or the tag that ends it."""
    if len(previous) + len(written) > _LONGEST_LINE or "\n" in written:
        return False
    begun = previous.strip(" ")
    opening = _NAME.match(begun)
    if opening is None or begun.startswith("</"):
        return False
    if is_tag:
        return written.startswith("</") and _NAME.match(written)[1] == opening[1] and "</" not in begun  # type: ignore[index]
    return not written.startswith("<") and begun.endswith(">") and begun.count("<") == 1


def _tokens(text: str, is_html: bool) -> Iterator[tuple[str, bool]]:
    """Tags, comments and texts, in order; and whether one is to stay as it is. Every search goes on where the last one
    ended, and one for an end that is not there is made once, since then all that is left is one token."""
    place, end = 0, len(text)
    while place < end:
        if text[place] != "<":
            tag = text.find("<", place)
            tag = end if tag < 0 else tag
            yield text[place:tag], False
            place = tag
            continue
        for start, finish in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<", ">")):
            if text.startswith(start, place):
                found = text.find(finish, place + len(start))
                stop = end if found < 0 else found + len(finish)
                break
        tag_text = text[place:stop]
        yield tag_text, tag_text.startswith("<!") and len(tag_text) > 2 and tag_text[2] in "-["
        place = stop
        name = _NAME.match(tag_text) if is_html and not tag_text.startswith("</") else None
        if name is not None and (verbatim := _VERBATIM.get(name[1].lower())) is not None:
            closing = verbatim.search(text, place)
            stop = end if closing is None else closing.start()
            if stop > place:
                yield text[place:stop], True
            place = stop
