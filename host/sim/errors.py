"""Why a demo cannot start or go on; each message says what, where and what to do."""


class DemoError(Exception):
    """The demo cannot run here or a step of its story did not happen in time."""
