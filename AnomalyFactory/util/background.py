"""Work beside the main thread: what a GPU has computed is fetched and written while it goes on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch


class Fetched:
    """Tensors on their way to the CPU, in whatever dictionaries and lists they lie.

    From a GPU they are only sent for here, in the state of now, and `get` waits for them in any
    thread; no other thread may ask a GPU for anything. On a CPU they are the very tensors: what a
    later step changes in place must be used before it.
    """

    def __init__(self, content: Any):
        self.content, self.arrived = on_cpu(content, non_blocking=True), None
        if torch.cuda.is_initialized():
            self.arrived = torch.cuda.Event()
            self.arrived.record()

    def get(self) -> Any:
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.content


def on_cpu(content: Any, non_blocking: bool = False) -> Any:
    """`content` with every tensor in its dictionaries and lists on the CPU, or on its way there,
    laid out plainly: files are alike from any device."""
    if isinstance(content, torch.Tensor):
        plain = torch.contiguous_format
        return content.detach().to("cpu", non_blocking=non_blocking, memory_format=plain)
    if isinstance(content, dict):
        return {key: on_cpu(value, non_blocking) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(on_cpu(part, non_blocking) for part in content)
    return content


class Background:
    """Threads that work beside the main one. An error in them comes up in the main thread, at its
    next call.

    The end of its `with` block waits for all work. An error of the block goes before one of work.
    """

    def __init__(
        self,
        threads: int,  # one does its work in the order in which it was handed in
        most: int,  # pieces of work that wait at once; handing in more waits for the first
    ):
        self.pool, self.most = ThreadPoolExecutor(threads), most
        self.pending: deque[Future] = deque()

    def submit(self, work: Callable[..., object], *arguments: object) -> None:
        if self.busy and len(self.pending) >= self.most:
            self.pending.popleft().result()
        self.pending.append(self.pool.submit(work, *arguments))

    @property
    def busy(self) -> bool:
        """Whether there is work to do. Raises the error of what has been done, if there was one."""
        while self.pending and self.pending[0].done():
            self.pending.popleft().result()
        return bool(self.pending)

    def wait(self) -> None:
        while self.pending:
            self.pending.popleft().result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self.pool:
            if error is None:
                self.wait()


def ahead(
    work: Callable[[Any], Any], items: Iterable[Any], pool: ThreadPoolExecutor, most: int
) -> Iterator[Any]:
    """What `work` makes of `items`, in their order; `pool` is at most `most` of them ahead."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()
