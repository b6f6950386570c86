"""Notifications and pings: what is told to whom, and the process that sends it."""
