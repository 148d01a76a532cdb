"""The console's page stays what its safety rests on: text becomes text nodes only, and everything comes from itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "src" / "interpose" / "console" / "page"
VENDOR = PAGE / "vendor"
OURS = sorted(path for path in PAGE.rglob("*") if path.is_file() and VENDOR not in path.parents)
SCRIPTS = [path for path in OURS if path.suffix == ".js"]

MOST_LINES = 400
# Ways for a text to become markup or code.
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|createContextualFragment|DOMParser"
    r"|\beval\b|new Function|srcdoc|setTimeout\(\s*['\"`]|javascript:|<script|<iframe|<object|<embed"
)
# What a Content-Security-Policy without 'unsafe-inline' takes away: it would only look as if it worked.
INLINE = re.compile(r"\sstyle=\"|\son[a-z]+=\"|<style|<script(?![^>]*\bsrc=)")
ELSEWHERE = re.compile(r"(?:src|href|import|from|url\()\W{0,3}(?:https?:)?//")
IMPORTS = re.compile(r"(?:from|import)\s*\(?\s*'([^']+)'")


def findings(pattern: re.Pattern[str], text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


def test_a35_no_text_becomes_markup_or_code() -> None:
    assert SCRIPTS
    found = {path.name: lines for path in SCRIPTS if (lines := findings(SINKS, path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "box.innerHTML = text;",
        "html`<div dangerouslySetInnerHTML=${{ __html: text }} />`",
        "box.insertAdjacentHTML('beforeend', text)",
        "document.write(text)",
        "eval(text)",
        "setTimeout('alert(1)', 5)",
        'html`<a href="javascript:void 0">`',
        "html`<iframe srcdoc=${text}></iframe>`",
    ],
)
def test_a35_the_law_sees_where_a_text_would_become_markup(line: str) -> None:
    assert findings(SINKS, line) == [line]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    found = {path.name: lines for path in OURS if (lines := findings(ELSEWHERE, path.read_text()))}
    assert found == {}
    page = (PAGE / "index.html").read_text()
    assert findings(INLINE, page) == []
    assert findings(INLINE, '<p style="color: red">')
    assert findings(INLINE, "<script>go()</script>")


def test_every_import_leads_to_a_file_and_every_module_is_imported() -> None:
    imported = {PAGE / "main.js"}
    for script in [*SCRIPTS, *VENDOR.glob("*.js")]:
        for name in IMPORTS.findall(script.read_text()) if script in SCRIPTS else []:
            target = (script.parent / name).resolve()
            assert target.is_file(), f"{script.name} imports {name}, which is not there"
            imported.add(target)
    assert [path.name for path in SCRIPTS if path not in imported] == []
    named = re.findall(r"(?:src|href)=\"([^\"]+)\"", (PAGE / "index.html").read_text())
    assert [name for name in named if not (PAGE / name).is_file()] == []


def test_modules_stay_small() -> None:
    long = {path.name: n for path in OURS if (n := len(path.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_what_was_taken_from_others_is_named_with_its_licence() -> None:
    said = (VENDOR / "README.md").read_text()
    files = {path.name for path in VENDOR.iterdir()} - {"README.md"}
    assert [name for name in sorted(files) if f"`{name}`" not in said] == []
    assert [name for name in re.findall(r"`([\w.-]+\.(?:js|css)|[\w-]+-LICENSE)`", said) if name not in files] == [
        "html.js",
        "chart.js",
    ]
