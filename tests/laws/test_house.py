"""The house keeps its shape: imports go down, wire data is parsed in one guarded place, modules stay small."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "interpose"

# Packages that touch bytes a peer chose. `core` is among them because targets and authorities are parsed there.
WIRE_PACKAGES = ("core", "protocol", "net", "engine", "filters")

# Python's own idea of a number, a space or a line is wider than any RFC's: int("+1_0"), "\xa0".strip(),
# "\x85".splitlines(), "\u0662".isdigit(). Such a call has no place near the wire; `.strip(" \t")` says exactly what it
# takes, so it may stay.
NEVER_CALLED = {"int", "float"}
NEVER_CALLED_METHODS = {"splitlines", "isdigit", "isdecimal", "isnumeric", "isspace", "isalnum", "isalpha"}
NEVER_CALLED_WITHOUT_ARGUMENTS = {"strip", "lstrip", "rstrip", "split", "rsplit"}
# A pattern belongs to a name at the top of its module, where the law about `$` below can read it.
NEVER_CALLED_ON_RE = {"match", "search", "fullmatch", "findall", "finditer", "split", "sub"}

# (module, function or "*"): why what it does is not parsing of wire data, or why it is safe.
ALLOWED = {
    ("protocol/number.py", "*"): "the guarded parser: each conversion follows a full match of ASCII digits",
    ("net/address.py", "_port"): "the operator's words, and the conversion follows a full match of ASCII digits",
    ("core/query/reading.py", "_whole"): "a query's words, and the conversion follows a full match of ASCII digits",
}

MOST_LINES = 400


class Finding(NamedTuple):
    """One call that the law forbids, and where."""

    module: str
    function: str
    line: int
    call: str


def forbidden_calls(source: str, module: str) -> Iterator[Finding]:
    """Every lenient call in one module, with the innermost function (or class) that makes it."""

    def walk(node: ast.AST, function: str) -> Iterator[Finding]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = child.name if function == "" else f"{function}.{child.name}"
            if isinstance(child, ast.Call) and (call := lenient(child)):
                yield Finding(module, function, child.lineno, call)
            yield from walk(child, inner)

    yield from walk(ast.parse(source), "")


def lenient(call: ast.Call) -> str | None:
    """The call as a reader would name it, or None when the law has nothing against it."""
    match call.func:
        case ast.Name(id=name) if name in NEVER_CALLED:
            return f"{name}()"
        case ast.Attribute(value=ast.Name(id="re"), attr=name) if name in NEVER_CALLED_ON_RE:
            return f"re.{name}()"
        case ast.Attribute(attr=name) if name in NEVER_CALLED_METHODS:
            return f".{name}()"
        case ast.Attribute(attr=name) if name in NEVER_CALLED_WITHOUT_ARGUMENTS and not call.args and not call.keywords:
            return f".{name}() without saying what"
    return None


def ends_at_dollar(pattern: "re.Pattern[str] | re.Pattern[bytes]") -> bool:
    """Whether the pattern holds a `$`, which also matches before a final line feed."""

    def walk(parsed: object) -> bool:
        if isinstance(parsed, _parser.SubPattern | list | tuple):
            if tuple(parsed)[:2] == (_constants.AT, _constants.AT_END):
                return True
            return any(walk(part) for part in parsed)
        return False

    return walk(_parser.parse(pattern.pattern, pattern.flags))


def wire_modules() -> list[Path]:
    return [path for package in WIRE_PACKAGES for path in sorted((SOURCE / package).rglob("*.py"))]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_imports_go_down_and_only_net_knows_sockets() -> None:
    lint = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "0 broken" in lint.stdout


def test_a2_wire_modules_make_no_lenient_call() -> None:
    found = [
        finding
        for path in wire_modules()
        for finding in forbidden_calls(path.read_text(), path.relative_to(SOURCE).as_posix())
    ]
    refused = [f for f in found if (f.module, "*") not in ALLOWED and (f.module, f.function) not in ALLOWED]
    assert not refused, "\n".join(
        f"src/interpose/{f.module}:{f.line}: {f.call} in {f.function or 'the module'}; wire data goes through "
        "protocol/number.py, anything else needs a row and a reason in ALLOWED"
        for f in refused
    )
    used = {(f.module, name) for f in found for name in ("*", f.function)}
    stale = [row for row in ALLOWED if (SOURCE / row[0]).exists() and row not in used]
    assert not stale, f"rows of ALLOWED that nothing needs any more: {stale}"


@pytest.mark.parametrize(
    ("source", "call", "function"),
    [
        ("n = int(value)", "int()", ""),
        ("def read(v):\n    return float(v)", "float()", "read"),
        ("class A:\n    def f(self, v):\n        return [int(x, 16) for x in v]", "int()", "A.f"),
        ("async def f(v):\n    return v.strip()", ".strip() without saying what", "f"),
        ("v.split()", ".split() without saying what", ""),
        ("for line in text.splitlines(): pass", ".splitlines()", ""),
        ("ok = value.isdigit() and True", ".isdigit()", ""),
        ("import re\nre.match(r'^[0-9]+$', v)", "re.match()", ""),
    ],
)
def test_a2_the_law_sees_a_lenient_call(source: str, call: str, function: str) -> None:
    assert [(f.call, f.function) for f in forbidden_calls(source, "m.py")] == [(call, function)]


@pytest.mark.parametrize(
    "source", ["v.strip(b' \\t')", "v.split(b',')", "n: int = 3", "isinstance(v, int)", "P.fullmatch(v)"]
)
def test_a2_the_law_lets_exact_calls_pass(source: str) -> None:
    assert list(forbidden_calls(source, "m.py")) == []


def test_a2_no_pattern_of_a_wire_module_ends_at_a_dollar() -> None:
    lax = []
    for path in wire_modules():
        module = importlib.import_module(dotted(path))
        owners = [module, *(member for _, member in inspect.getmembers(module, inspect.isclass))]
        for owner in owners:
            for name, value in vars(owner).items():
                if isinstance(value, re.Pattern) and ends_at_dollar(value):
                    lax.append(f"{dotted(path)}: {name} = {value.pattern!r}; use fullmatch, or \\Z")
    assert not lax, "\n".join(lax)


@pytest.mark.parametrize(
    ("pattern", "has_dollar"),
    [
        (r"^[0-9]+$", True),
        (r"a|(b(?:c$)?)", True),
        (rb"(?i:x$)+", True),
        (r"[!#$%&'*+]+", False),
        (r"\$", False),
        (r"[0-9]+\Z", False),
    ],
)
def test_a2_the_law_sees_a_dollar(pattern: "str | bytes", has_dollar: bool) -> None:
    assert ends_at_dollar(re.compile(pattern)) is has_dollar


def test_modules_stay_small() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().split("\n")) - 1 for path in SOURCE.rglob("*.py")}
    assert lengths
    assert {str(path): lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_lock_holds_every_dependency_with_a_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    for file, wanted in [
        ("requirements.txt", project["project"]["dependencies"]),
        ("requirements-dev.txt", project["project"]["dependencies"] + groups["dev"]),
        ("requirements-bench.txt", groups["bench"]),
        ("script/uv.txt", groups["uv"]),
    ]:
        stanzas = re.split(r"^(?=[A-Za-z0-9])", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
        pinned = {stanza.split("==")[0] for stanza in stanzas}
        names = {re.sub(r"[._]", "-", re.split(r"[<>=~;\[ ]", line)[0]) for line in wanted}
        assert names
        assert names <= pinned, f"{file} lacks {names - pinned}: run script/lock"
        assert [s for s in stanzas if not re.search(r"--hash=sha256:[0-9a-f]{64}", s)] == []
