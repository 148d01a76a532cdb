"""From a file or flags to what runs: the model, loading, roles, building."""
