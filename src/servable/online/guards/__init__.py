"""Guards: what stands between an accepted example and the answers. All but the first are part of the fold."""
