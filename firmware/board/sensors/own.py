"""The sources that need nothing soldered to the board: the channels named after the chip and its pins.

Apart from build.py, since many boards have no others, and the names of all drivers would stay in the interpreter's memory.
"""

from node.app.scaling import scale_of
from node.errors import CallerError


def sources(config, machine, celsius, fed=()):
    """The source of each channel that nothing feeds yet.

    Args:
        machine: the module, or what stands for it. celsius: gives the chip's temperature. fed: places of the channels that are fed.

    Raises:
        CallerError: `board.sensors`: a channel that nothing can feed.
    """
    found = []
    for place, channel in enumerate(config.channels):
        name = channel.name
        if place in fed:
            continue
        if name == "temp_chip":
            from board.sensors.celsius import Celsius
            found.append(Celsius(celsius, place, scale_of(channel.resolution)))
        elif name[:3] == "adc" and name[3:].isdigit():
            from board.sensors.pins import UV, Adc
            found.append(Adc(machine, int(name[3:]), place, scale_of(channel.resolution, UV)))
        else:
            raise CallerError("board.sensors", "channel %s: expected a sensor that feeds it, adc<pin> or temp_chip" % name)
    return found
