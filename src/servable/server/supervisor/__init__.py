"""The parent of all processes: ports, doors, model processes, rollouts. Imports no model library."""
