"""States of the machine that learns, on their way to the others: as what changed, through a log of their own."""
