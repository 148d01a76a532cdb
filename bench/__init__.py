"""Interpose beside its peers: one origin, one load, CPU time and memory per unit of work."""
