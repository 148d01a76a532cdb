"""Experiments on a route: which variant a client gets, and what it does with it."""
