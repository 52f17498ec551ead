"""Measurements that `tenfold bench` runs: what we promise in figures, with peers in the same run. Nothing here prints."""
