"""Bundles: pack, open, verify, convert, prove."""
