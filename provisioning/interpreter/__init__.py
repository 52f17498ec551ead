"""MicroPython of our own: its definition from a board's profile, what of it can be checked here, and its build."""
