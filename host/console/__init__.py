"""The web console: shows the fleet, changes nothing."""
