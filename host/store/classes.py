"""Which class a channel belongs to, and how long and how much of each class is kept.

Decides from values. A class is a name and patterns of channel names; the first whose pattern fits takes the channel. A change
holds for what is compacted from then on: what lies in a part stays in it.
"""

from fnmatch import fnmatchcase

from pydantic import Field, model_validator

from host.settings import Settings

RAW_DAYS = 400           # a year and the month that it is compared with
ROLLUP_DAYS = 3653       # ten years


class ChannelClass(Settings):
    """Channels that are kept equally long.

    Attributes:
        name: lower case letters, digits and _; names the parts.
        channels: patterns of channel names with * and ?.
        days: how long readings are kept.
        max_bytes: day columns of the class at most; the oldest months go first. 0: no bound.
    """

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,19}$")
    channels: tuple[str, ...] = ("*",)
    days: int = Field(RAW_DAYS, ge=1)
    max_bytes: int = Field(0, ge=0)


class Classes(Settings):
    """What `--config FILE` of `tenfold telemetry` reads; without a file everything is of one class.

    Attributes:
        classes: in the order in which they are asked; the last must take every channel.
        rollup_days: how long hours and days in sums are kept.
        older_days: whole days after a UTC day before its batches become day columns.
    """

    classes: tuple[ChannelClass, ...] = (ChannelClass.model_validate({"name": "all"}),)
    rollup_days: int = Field(ROLLUP_DAYS, ge=1)
    older_days: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> "Classes":
        names = [one.name for one in self.classes]
        if not names or len(set(names)) < len(names):
            raise ValueError("one or more classes with different names")
        if "*" not in self.classes[-1].channels:
            raise ValueError('a last class with the pattern "*": every channel needs one')
        return self

    def of(self, channel: str) -> str:
        """The name of a channel's class."""
        return next(one.name for one in self.classes if any(fnmatchcase(channel, pattern) for pattern in one.channels))


ONE_CLASS = Classes.model_validate({})   # where nothing is configured
