"""The HTTP face of the update server: thin handlers between the rules, the rows and the archive."""
