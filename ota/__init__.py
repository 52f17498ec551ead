"""The update server: rules, offline signing, archive, rows and the HTTP API. See DESIGN.md and SPEC.md in this folder."""
