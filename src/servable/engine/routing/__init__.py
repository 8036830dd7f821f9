"""What a Route adds to a version: copies for shadows, what answers in its place, and a breaker before it."""
