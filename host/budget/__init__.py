"""What a configuration costs a board over the years: flash, ring, traffic, memory; from values only."""
