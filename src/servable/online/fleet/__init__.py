"""A learner of many machines: one learns, the others answer by what it publishes; PostgreSQL holds all that is true."""
