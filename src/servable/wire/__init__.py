"""Bytes to Batch and back. Knows protocols, and no model, socket or engine."""
