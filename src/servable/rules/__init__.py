"""Rules, evaluated: declarative guardrails over arrays. The same code in the doors, in bulk jobs, and at packing."""
