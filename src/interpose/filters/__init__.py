"""One file, one feature: what stands between a server and the end of a route, each with its options beside it."""
