"""Reading and writing beside the main thread, which computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def ahead(
    work: Callable[[Any], Any], items: Iterable[Any], pool: ThreadPoolExecutor, most: int
) -> Iterator[Any]:
    """What `work` makes of `items`, in their order; `pool` is at most `most` of them ahead. An
    error of `work` comes up here."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()
