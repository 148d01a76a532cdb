"""The engine: the only code that knows bytes and handlers."""
