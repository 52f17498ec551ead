"""The kinds of signed objects and the most bytes of each: what an agent must know before it loads the code that verifies them."""

from node.compat import const

ROOT = const(1)
MANIFEST = const(2)
DIRECTION = const(3)
BIRTH = const(4)
MAX_BYTES = {ROOT: 8192, MANIFEST: 2048, DIRECTION: 2048, BIRTH: 2048}   # of the whole envelope: it is held in RAM
NONCE_BYTES = const(16)   # of a check-in
