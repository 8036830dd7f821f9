"""The figures of the table, one file a kind. Each function takes a Bench and returns Figures."""
