"""ESP32 boards under stock MicroPython. Compiled here, never yet run on hardware."""
