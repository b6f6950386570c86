"""Live updates: the hub and its endpoint."""
