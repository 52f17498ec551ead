"""Emulated ESP32 boards: QEMU with the user's own program and a stock MicroPython image, as boards of a fleet."""
