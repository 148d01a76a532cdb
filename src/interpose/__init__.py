"""Interpose: one program and library for everything that stands between a client and a server."""

__version__ = "0.1.0"
