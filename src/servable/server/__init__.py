"""The doors: HTTP, gRPC, health, admin, access, limits; and the supervisor of the processes."""
