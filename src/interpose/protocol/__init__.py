"""Protocols without sockets: bytes to values and back, and the decisions of the RFCs."""
