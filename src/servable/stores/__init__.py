"""Where bytes and rows last: ports, and an adapter for each place. A store knows nothing of models."""
