"""What Longshore keeps: YAML job files and the SQLite history."""
