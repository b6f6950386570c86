"""The runner: the process that performs one run. Standard library only (architecture.md, 10)."""
