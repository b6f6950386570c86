"""What Longshore does: commands, queries, engines, the runner and recovery."""
