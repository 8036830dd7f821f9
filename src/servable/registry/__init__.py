"""Names, versions, aliases and where their bundles lie: append-only events, from which wanted state is read."""
