"""The wheel: built from the project, installed where there is nothing but what it says it needs, and used from afar."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.support.nginx import Nginx
from tests.support.program import Program

from interpose import __version__

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60
PYTHON_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in PYTHON_VARIABLES and not name.lower().endswith("_proxy")
}


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip


def find_uv() -> str:
    """What script/setup has used: the one on PATH when it works, else its own."""
    for candidate in ("uv", str(ROOT / ".venv-tools/bin/uv")):
        if shutil.which(candidate) and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    raise AssertionError("no uv found; script/setup brings one")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network, from a copy so that nothing is left in the repository."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = run(find_uv(), "build", "--wheel", "--offline", "--out-dir", str(directory), str(source), cwd=directory)
    assert built.returncode == 0, built.stderr
    [found] = directory.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel and what it declares to need, and nothing else."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False)
    [site] = directory.glob("lib/python3*/site-packages")
    done = run(
        find_uv(), "pip", "install", "--offline", "--no-deps", "--python", str(directory / "bin/python"), str(wheel),
        cwd=directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [metadata] = site.glob("interpose-*.dist-info")
    for needed in closure(Distribution.at(metadata)):
        for entry in top_level(needed):
            if not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return directory / "bin"


def closure(wanted: Distribution) -> list[Distribution]:
    """The distributions that `wanted` needs here, and those that they need."""
    found: dict[str, Distribution] = {}
    todo = [(wanted, frozenset[str]())]
    while todo:
        present, extras = todo.pop()
        for line in present.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                name = canonicalize_name(requirement.name)
                if name not in found:
                    found[name] = distribution(name)
                    assert requirement.specifier.contains(found[name].version), f"{line}, not {found[name].version}"
                    todo.append((found[name], frozenset(requirement.extras)))
    return list(found.values())


def top_level(installed: Distribution) -> Iterator[Path]:
    """What a distribution has put into its site-packages: packages, modules, and the record of itself."""
    names = {Path(str(file)).parts[0] for file in installed.files or ()}
    for name in sorted(names - {"..", "__pycache__"}):
        yield Path(str(installed.locate_file(name)))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory that has nothing to do with the repository, except for a trap."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    for name in ("socket.py", "ssl.py", "asyncio.py", "interpose.py"):
        (directory / name).write_text("raise ImportError('this is not the module that was meant')\n")
    return directory


def test_the_wheel_has_the_package_and_what_it_reads_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/interpose").rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith("interpose/") and not name.endswith("/")} == {
        name for name in source if "__pycache__" not in name
    }
    assert {name.partition("/")[0] for name in names} == {"interpose", f"interpose-{__version__}.dist-info"}
    assert "interpose/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_program_runs_from_anywhere(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    program = str(installed / "interpose")
    assert run(program, "--version", cwd=elsewhere).stdout == f"interpose {__version__}\n"
    where = run(str(installed / "python"), "-P", "-c", "import interpose; print(interpose.__file__)", cwd=elsewhere)
    assert where.stdout.startswith(str(installed.parent))
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("a text\n")
    with (
        Nginx(tmp_path / "nginx", root) as origin,
        Program(tmp_path, "proxy", command=[program], cwd=elsewhere, env=ENVIRONMENT) as proxy,
    ):
        came = run("curl", "-sS", "-x", proxy.url, f"http://127.0.0.1:{origin.port}/a.txt", cwd=elsewhere)
        assert came.stdout == "a text\n"
        page = run("curl", "-sS", "-H", "Accept: text/html", proxy.url, cwd=elsewhere)
        assert page.stdout.startswith("<!DOCTYPE html>")
        status = run(program, "status", "--state", str(proxy.state), cwd=elsewhere)
        assert "serving" in status.stdout
    assert len(proxy.log()) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_taught_to_complete(installed: Path, shell: str, elsewhere: Path) -> None:
    shown = run(str(installed / "interpose"), "--show-completion", cwd=elsewhere, _INTERPOSE_COMPLETE=f"source_{shell}")
    assert shown.returncode == 0, shown.stderr
    assert f"_INTERPOSE_COMPLETE=complete_{shell}" in shown.stdout


def test_bash_completes_what_is_typed(installed: Path, elsewhere: Path) -> None:
    def completed(*words: str) -> list[str]:
        """What bash itself offers, by the script that `--show-completion` prints when bash asks for it."""
        ask = (
            'eval "$(interpose --show-completion)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            '_interpose_completion interpose; echo "${COMPREPLY[@]}"; exit 0'
        )
        path = f"{installed}:{ENVIRONMENT['PATH']}"
        done = run("bash", "--norc", "-c", ask, "bash", *words, cwd=elsewhere, PATH=path)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert completed("interpose", "ga") == ["gateway"]
    assert completed("interpose", "proxy", "--allow") == ["--allow-from", "--allow-upstream"]
    assert set(completed("interpose", "")) >= {"run", "check", "proxy", "gateway", "exec", "status", "reload", "drain"}


def test_the_library_serves_inside_another_program(installed: Path, elsewhere: Path) -> None:
    done = run(str(installed / "python"), str(ROOT / "examples/library.py"), cwd=elsewhere)
    assert (done.stdout, done.stderr) == ("hello, by way of 1.1 interpose\nrequests: 1\n", "")


def test_types_of_the_library_are_seen_by_its_users(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text(
        "import interpose\n\n"
        "async def main() -> None:\n"
        "    async with interpose.serve(interpose.proxy_config()) as running:\n"
        "        reveal_type(running.addresses)\n"
    )
    python = str(installed / "python")
    done = run(
        sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--cache-dir", "cache", "uses.py",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Revealed type is "dict[str, str]"' in done.stdout.replace("builtins.", "")
