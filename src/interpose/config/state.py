"""Where this program keeps what lasts."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir(given: str = "") -> Path:
    """Where instances keep their state: as given, else $INTERPOSE_STATE, else the platform's directory for state."""
    chosen = given or os.environ.get("INTERPOSE_STATE", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    xdg = os.environ.get("XDG_STATE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".local" / "state") / "interpose"


def authority_dir(state: str = "") -> Path:
    """Where the certificate authority of this installation is: one for all instances that share a directory."""
    return state_dir(state) / "ca"
