"""The books of experiments: who was shown what, who reached which goal, what was decided."""
