"""What looks wrong in readings and metrics, and when a limit will be reached: decisions from values, no clock and no database."""
