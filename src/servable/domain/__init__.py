"""The words of the house: one noun, one file. Frozen, no I/O, no clock, no async."""
