"""The routes: parse, command or query, render."""
