"""One file a learner; the built-in ones are numpy alone, and their whole state is plain arrays."""
