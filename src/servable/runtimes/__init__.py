"""The formats: one file each, found through the entry-point group `servable.runtimes`, libraries imported lazily."""
