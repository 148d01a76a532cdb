"""What is kept: files, stores, journals; no sockets."""
