"""Alerts: rules in a file, states with hysteresis, groups that are told as one, silences, and who is told."""
