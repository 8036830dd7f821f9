"""What runs inside the peers' environments: the model behind each peer's own interface."""
