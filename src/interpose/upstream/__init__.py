"""Choosing: which server, whether again. Pure, given what happened."""
