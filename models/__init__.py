"""The vocabulary: frozen values, the state machine, events and errors."""
