"""One experiment a module."""
