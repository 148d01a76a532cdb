"""What the desk of an instance keeps, as its configuration says."""

from __future__ import annotations

from interpose.config.model import Config
from interpose.storage.desk.delivery import Schedule
from interpose.storage.desk.local import DeskOptions
from interpose.storage.desk.secrets import SECRET_FIELDS
from interpose.storage.desk.store import Room


def desk_options(config: Config) -> DeskOptions:
    """The options of `LocalDesk`. What the journal never writes the desk forgets when it is over, too."""
    desk = config.desk
    redacted = () if config.journal is None else config.journal.redact
    return DeskOptions(
        room=Room(desk.max_holds, desk.max_bytes),
        schedule=Schedule(max_attempts=desk.max_attempts),
        keep_decided_s=desk.keep_decided_s,
        keep_abandoned_s=desk.keep_abandoned_s,
        secret_fields=SECRET_FIELDS | {name.lower().encode() for name in redacted},
    )
