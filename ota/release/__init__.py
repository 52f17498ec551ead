"""Making releases: compile, sign, verify. Runs offline and holds keys; the server imports only what verifies."""
