"""A file of Python as a module, and where in it something went wrong."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MOST_BYTES = 1 << 20


def load(path: Path) -> ModuleType:
    """The file as a module, compiled whole before any of it runs. ValueError says what is wrong, and where."""
    try:
        with path.open("rb") as file:
            source = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    if len(source) > MOST_BYTES:
        raise ValueError(f"{path}: larger than {MOST_BYTES} bytes; a script should be smaller")
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        place = f"{path}:{error.lineno}" if error.lineno else path
        raise ValueError(f"{place}: {error.msg}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    linecache.checkcache(str(path))
    beside = str(path.parent.absolute())
    module = ModuleType(f"script:{path}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and their like look their module up by name
    sys.path.insert(0, beside)  # modules beside the script can be imported while it loads, as when Python runs it
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        if before is not None:
            sys.modules[module.__name__] = before
        raise ValueError(f"{path}:{last_line_in(str(path), error)}: {told(error)}") from error
    finally:
        if beside in sys.path:
            sys.path.remove(beside)
    return module


def place_of(error: BaseException, function: Any, path: Path) -> tuple[Path, int]:
    """File and line where a function of a script (or of a module that it imported) went wrong."""
    code = getattr(function, "__code__", None)
    if (line := last_line_in(str(path), error)) or code is None:
        return path, line
    return Path(code.co_filename), last_line_in(code.co_filename, error) or code.co_firstlineno


def last_line_in(file: str, error: BaseException) -> int:
    """The innermost line of the file that the error passed, 0 when it passed none."""
    line = 0
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def told(error: BaseException) -> str:
    """Type and text of an error, cut and without control characters: the text may come from the wire."""
    text = f"{type(error).__name__}: {error}"[:300]
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
