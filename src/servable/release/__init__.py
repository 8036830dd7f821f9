"""From a version that passed to one that serves: canary, shadow, promotion, rollback, and who watches meanwhile."""
