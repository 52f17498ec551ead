"""Where the device keeps what TLS and enrolment both need."""

KEY_PATH = "/state/key.der"
CERT_PATH = "/state/cert.der"
