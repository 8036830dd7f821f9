"""PMML 4.x translated to numpy: read once, evaluated for whole batches. Nothing in a file is executed."""
