"""Databases for small state of record: one file of SQLite, or PostgreSQL for many machines. The same tables in both."""
