"""Where the device keeps what several of its parts need."""

KEY_PATH = "/state/key.der"
CERT_PATH = "/state/cert.der"
DELTA_PATH = "/state/delta"   # a delta on its way to what it makes
