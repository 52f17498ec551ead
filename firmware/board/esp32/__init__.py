"""ESP32 boards under stock MicroPython. Run on an emulated chip, never yet on hardware."""
