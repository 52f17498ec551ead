"""What must be done to a plant's data again and again: `tenfold upkeep`."""
