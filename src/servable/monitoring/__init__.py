"""After it serves: what was answered, and what became of it. Serving never waits for any of this."""
