"""Sockets and TLS: the only floor that touches them. OS errors become `Failure` here, once."""
