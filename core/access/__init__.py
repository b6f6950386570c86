"""Who gets in: passwords, the bounds on guesses, sessions, tokens."""
