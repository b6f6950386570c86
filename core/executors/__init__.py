"""Executors: where a runner is started."""
