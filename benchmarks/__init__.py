"""Servable against its peers, side by side in one run: `python -m benchmarks.run`. README.md says how to read it."""
