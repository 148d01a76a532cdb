"""Compiles one set of block lists, in a process of its own (`python -m interpose.config.blocklist_compile DIRECTORY`).

Standard input has the lists' options as MessagePack. The compiled file is written where the workers look for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from interpose.config.blocklists import compiled_path, read_texts, write_file
from interpose.filters.blocklist.lists import compile_lists
from interpose.filters.blocklist.options import BlockList


def main(directory: Path, encoded: bytes) -> int:
    """Compile; the exit status."""
    options = msgspec.msgpack.decode(encoded, type=tuple[BlockList, ...])
    compiled = compile_lists(options, *read_texts(directory, options))
    write_file(directory, compiled_path(directory, options).name, msgspec.msgpack.encode(compiled))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.stdin.buffer.read()))
