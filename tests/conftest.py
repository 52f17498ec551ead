"""What all tests share: no example of a property is held against the clock, since machines are shared and noisy."""

from hypothesis import settings

settings.register_profile("tenfold", deadline=None)
settings.load_profile("tenfold")
