"""Rows of the update server and their migrations. No decisions."""
