"""What a row of readings holds: the columns of each channel, and the schema of each group and of each alarm.

In memory while the configuration is checked and when the schemas are told, not while samples are taken.
"""

from node.errors import CallerError
from node.wire import schema

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.settings import Channel, Config

STATS = ".min .mean .max .std"   # in the order of node.app.stats; one text: a text each would stay in the interpreter for ever


def columns(channel: "Channel") -> "list[tuple[str, str, str]]":
    """A channel's columns in its group: its values or their statistics, and its score if it has one."""
    if not channel.edge:
        return [(channel.name, channel.unit, channel.resolution)]
    kinds = STATS.split() if channel.stats > 1 else [""]
    made = [(channel.name + kind, channel.unit, channel.resolution) for kind in kinds]
    if channel.anomaly:
        made.append((channel.name + ".score", "1", "0.1"))
    return made


def alarm_columns(channel: "Channel") -> "list[tuple[str, str, str]]":
    """What is told of its alarm: the value, and for each side that has one the limit that it is beyond. Empty: it has none."""
    limits = ((".high", channel.high), (".low", channel.low))
    kinds = [kind for kind, limit in limits if limit is not None]
    return [(channel.name + kind, channel.unit, channel.resolution) for kind in ([".alarm"] + kinds if kinds else [])]


def schemas(config: "Config") -> list[bytes]:
    """The schema of each group, in their order; then those of the alarms, in the order of their channels.

    Raises:
        CallerError: `schema.*`: a group is too large for one.
    """
    groups = [schema.build([column for place in places for column in columns(config.channels[place])])
              for _, _, places in config.groups]
    alarms = [alarm_columns(channel) for channel in config.channels]
    return groups + [schema.build(told) for told in alarms if told]


def check(channel: "Channel") -> None:
    """Refuse a channel that no schema can name.

    Raises:
        CallerError: `schema.name`, `schema.unit` or `schema.resolution`.
    """
    if "." in channel.name:   # what follows one is ours
        raise CallerError("schema.name", channel.name)
    schema.build([(channel.name, channel.unit, channel.resolution)])
