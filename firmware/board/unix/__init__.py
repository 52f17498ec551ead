"""The simulated board: adapters for the unix port of MicroPython under rom.py."""
