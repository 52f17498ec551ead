"""Boards that we know: what a profile says, what of it a chip can do, and what replaces its parts; from values only."""
