"""Fails when a committed file names a package registry, an index of one, or a path of the machine it was written on.

Where packages come from is the business of the machine that installs them; a name that slipped into a lock file or a
script would send every other machine there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "a registry's host": re.compile(
        r"\bpypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|proxy\.golang\.org|static\.crates\.io"
        r"|\bpkg\.dev/|\.jfrog\.io|\bdeb\.debian\.org|\bconda\.anaconda\.org"
    ),
    "an index address": re.compile(r"\b(?:https?|file)://[^\s'\"<>]*/simple\b"),
    "an index option": re.compile(r"(?<!no-emit-)\b(?:index-url|find-links)\b|\b(?:PIP|UV)_\w*(?:INDEX|FIND_LINKS)"),
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:home|Users)/(?!user\b|you\b)\w+|/root/|\.pyenv\b"),
}


def machine_words() -> list[str]:
    """What only this machine would write: where the repository and the home directory are, and its own indexes."""
    words = [str(ROOT)]
    if Path.home() != Path("/"):
        words.append(f"{Path.home()}/")
    for name, value in os.environ.items():
        if name.startswith(("PIP_", "UV_")) and ("INDEX" in name or "LINKS" in name):
            words.extend(value.split())
    return [word for word in words if len(word) > 3]


def main() -> int:
    """Print each offending line; the exit status says whether there was one."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    words = machine_words()
    found = 0
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path == Path(__file__).resolve() or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            reasons = [reason for reason, pattern in FORBIDDEN.items() if pattern.search(line)]
            reasons += [f"{word!r}, which is this machine's" for word in words if word in line]
            for reason in reasons:
                found += 1
                print(f"{name}:{number}: names {reason}: {line.strip()[:120]}")
    if found:
        print(f"{found} lines tie the repository to one machine or registry; take the names out.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
