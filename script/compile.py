"""Compiles the busiest modules of the Interpose installed in an environment, with mypyc, and puts them beside the
sources there, where Python finds them first.

    .venv-build/bin/python script/compile.py ENVIRONMENT

The modules are those through which every exchange passes. What is not among them is left out for a reason: modules
with msgspec structs, which cannot be compiled; `core/failure.py`, `net/stream.py` and `engine/serving.py`, whose
classes others derive from; `engine/client.py`, which is referred to weakly; what is seldom run.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "core": ("body", "exchange", "faulty_body", "fields", "handler", "message", "stream", "tapped_body", "target"),
    "protocol": (
        "cache_key",
        "cache_status",
        "caching",
        "client_hello",
        "collect",
        "combined_line",
        "compressible",
        "conditional",
        "forwarding",
        "framing",
        "freshness",
        "head",
        "number",
        "target",
        "variants",
        "writer",
    ),
    "net": ("terminate",),
    "engine": (
        "answer",
        "client_pace",
        "group_client",
        "records",
        "request_receiver",
        "request_sender",
        "response_writer",
        "router",
        "run",
        "server_connection",
        "tunnel",
        "upstream_connection",
    ),
    "storage": ("line_writer", "memory_store", "reading", "sketch", "tiers"),
    "filters": ("forwarding", "meter", "path", "recorder"),
    "filters/compression": ("filter", "flow", "variants"),
    "filters/cache": ("filter", "rules"),
    "upstream": (
        "budget",
        "fastest",
        "first",
        "group",
        "hash_ring",
        "health",
        "least_active",
        "retry",
        "round_robin",
        "server",
    ),
}


def main(environment: Path) -> None:
    """Compile for `environment`."""
    site_packages = next(environment.resolve().glob("lib/python3*/site-packages"))
    with tempfile.TemporaryDirectory() as work:
        shutil.copytree(ROOT / "src", work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        os.chdir(work)
        paths = [f"interpose/{package}/{module}.py" for package, modules in MODULES.items() for module in modules]
        setup(
            name="interpose",
            packages=[],
            ext_modules=mypycify(
                [*paths, "--python-version", "3.11"], opt_level="3", debug_level="0", group_name="interpose"
            ),
            script_args=["--quiet", "build_ext", "--inplace"],
        )
        for built in Path().rglob("*.so"):
            if "build" not in built.parts:
                shutil.copy(built, site_packages / built)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
