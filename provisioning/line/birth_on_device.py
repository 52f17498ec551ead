"""A board's birth, run at its prompt by MicroPython, with the firmware's own code: a key is made with the radio on, or shown again.

Prints the firmware's BIRTH line: public key and proof, and nothing else of the key. The host appends a call of main.
"""

import json
import os


def main(product, model, make):
    """Show the board's key. `make`: make one when there is none; else say KEYLESS then."""
    import machine
    import network

    from board.files import VfsFiles
    from node.agent.credentials import Identity
    from node.agent.paths import KEY_PATH
    from node.wire import identity

    class Chance:
        urandom = staticmethod(os.urandom)

    files = VfsFiles()
    if not make and files.read(KEY_PATH) is None:
        print("KEYLESS")
        return
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)   # from here os.urandom is true randomness
    if not wlan.active():
        print("REFUSED the radio does not come up, and without it chance is none")
        return
    device = identity.device_id(product, machine.unique_id())
    print("BIRTH " + json.dumps(Identity(files, Chance, device).announcement(model)))
