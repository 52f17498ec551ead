"""Names for the type checker only. There is no such module at run time, on the device or on a host.

MicroPython has neither typing nor collections.abc; device modules import these inside `if TYPE_CHECKING:`, whose body
never runs, and quote them in annotations.
"""

from collections.abc import Awaitable as Awaitable
from collections.abc import Callable as Callable
from collections.abc import Coroutine as Coroutine
from collections.abc import Generator as Generator
from collections.abc import Iterable as Iterable
from collections.abc import Iterator as Iterator
from collections.abc import Sequence as Sequence
from types import ModuleType as ModuleType
from typing import Any as Any
from typing import NoReturn as NoReturn
from typing import Protocol as Protocol
