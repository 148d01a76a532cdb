"""Experiments, pure: who gets which variant, what the counts say about it, and what is to be done then."""
