"""Learn while serving: a journal of what was seen, a learner that folds it, snapshots, guards."""
