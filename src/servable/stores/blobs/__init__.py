"""Blobs: files by path in a place that many machines share: a folder they all mount, or S3-like object storage."""
