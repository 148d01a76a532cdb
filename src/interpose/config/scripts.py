"""The scripts of a configuration: one for each file, whatever it is used for."""

from __future__ import annotations

from functools import partial

from interpose.config.parts import Parts
from interpose.filters.hold.holder import Holder
from interpose.filters.script import Script, ScriptOptions


def script_of(file: str, parts: Parts) -> Script:
    """The script in `file`. ValueError, a sentence, when it cannot be loaded."""
    return parts.get(Script, file, partial(_script, file, parts))


def _script(file: str, parts: Parts) -> Script:
    holders = parts.every(Holder)
    return Script(ScriptOptions(file=file), hold=holders[0].for_script if holders else None)
