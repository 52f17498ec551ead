"""What of a running broker or database loses data, or lets a device speak as another; found by trying, not by reading files."""
