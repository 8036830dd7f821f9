"""Who may do what: keys, roles, hosts, and the log of what was refused or changed."""
