"""Decisions of the update server. Nothing in here reads a clock, a database or chance, and nothing sends."""
