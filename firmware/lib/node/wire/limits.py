"""Numbers that are known without the code that reads messages: the kinds of signed objects, the most bytes of each, the range of
integers. What a batch or an agent needs of them must not bring that code into a device's memory.
"""

from node.compat import const

ROOT = const(1)
MANIFEST = const(2)
DIRECTION = const(3)
BIRTH = const(4)
MAX_BYTES = {ROOT: 8192, MANIFEST: 2048, DIRECTION: 2048, BIRTH: 2048}   # of the whole envelope: it is held in RAM
NONCE_BYTES = const(16)   # of a check-in
CONFIG_NAME_BYTES = const(8)   # of a delivered configuration's SHA-256: its name among those of one fleet
MAX_CONFIG_BYTES = const(3072)   # of a delivered configuration: with a direction beside it in one answer, both held in RAM
MAX_I31 = const(0x7FFFFFFF)   # counters, versions, boots: a device compares them as machine integers
MAX_U32 = const(0xFFFFFFFF)   # sequence numbers, Unix seconds until 2106
MAX_U53 = const(0x1FFFFFFFFFFFFF)   # milliseconds and sums: exact in JSON readers that use doubles
