"""The journal: every exchange as a record, on disk, searchable, for as long as there is room and time."""
