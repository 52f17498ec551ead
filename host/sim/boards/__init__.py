"""Simulated ESP32 boards behind pseudo-terminals: esptool, espefuse and mpremote take them for boards. host/DESIGN.md, "Boards"."""
