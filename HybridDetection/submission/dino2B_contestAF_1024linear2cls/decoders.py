"""Processes that prepare images, in memory that they share with this one; any may be killed."""

import multiprocessing
import signal
import sys
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from mmap import mmap
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from memory import return_freed_memory

TENSOR_BYTES = 3 * 224 * 224 * 4  # the largest tensor of one image: (3, 224, 224) float32
THUMBNAIL_BYTES = 2**19  # room for its picture; pages that nobody writes to take no memory
ROW_BYTES = TENSOR_BYTES + THUMBNAIL_BYTES
AHEAD = 2  # batches in the making while one is scored
LARGEST_BATCH = 2048  # AHEAD of them, asked for, must fit into a pipe of 64 KB
FORK = multiprocessing.get_context("fork")  # so that memory and the list of images are shared

# What an image became, with its JPEG, which may be empty; or why it became nothing.
Item = tuple[torch.Tensor, bytes] | str


class Images(Protocol):
    """What is decoded: items by position, and the paths that errors name."""

    paths: Sequence[Path]

    def __getitem__(self, position: int) -> Item: ...


@dataclass
class Failed:
    """The traceback of an error that is the program's, not an image's."""

    text: str


# Else the shape and type of the tensor in the row, and the size of the picture behind its room.
Answer = str | Failed | tuple[tuple[int, ...], str, int]


class Decoders:
    """`count` processes that prepare `images`, batch by batch.

    torch's DataLoader ends with an error when one of its processes is killed, and does not know at
    which image. Here an image at which a process ends is tried once more in a new one, and is named
    when that ends, too.
    """

    def __init__(self, images: Images, count: int, batch_size: int) -> None:
        if batch_size > LARGEST_BATCH:
            raise ValueError(f"batches of {batch_size} images, expected {LARGEST_BATCH} at most")
        self.images = images
        self.batch_size = batch_size
        self.rows = mmap(-1, AHEAD * batch_size * ROW_BYTES)  # unlike /dev/shm, never too small
        self.workers = [Worker(self) for _ in range(count)]
        self.suspects: set[int] = set()  # positions at which a process has ended

    def __call__(self, batches: Iterable[list[int]]) -> Iterator[tuple[list[int], list[Item]]]:
        """Each batch of positions with its items; no position may occur twice."""
        coming = enumerate(batches)
        asked: deque[list[int]] = deque()
        answers: dict[int, Item] = {}
        try:
            for worker in self.workers:
                worker.start()
            self.ask(coming, asked)
            while asked:
                batch = asked[0]
                while not all(position in answers for position in batch):
                    answers.update(self.answered())
                asked.popleft()
                self.ask(coming, asked)  # before the caller is busy with this batch
                yield batch, [answers.pop(position) for position in batch]
        finally:
            for worker in self.workers:
                worker.stop()
            self.rows.close()

    def ask(self, coming: Iterator[tuple[int, list[int]]], asked: deque[list[int]]) -> None:
        """Deal out batches until AHEAD of them are in the making."""
        while len(asked) < AHEAD and (following := next(coming, None)) is not None:
            number, batch = following
            first = number % AHEAD * self.batch_size
            pairs = list(zip(batch, range(first, first + len(batch)), strict=True))
            for place, worker in enumerate(self.workers):
                worker.ask(pairs[place :: len(self.workers)])
            asked.append(batch)

    def answered(self) -> Iterator[tuple[int, Item]]:
        """Position and item of the images that are ready next."""
        speaking = {worker.answers: worker for worker in self.workers}
        for connection in wait(list(speaking)):
            worker = speaking[connection]
            try:
                answer: Answer = worker.answers.recv()
            except (EOFError, OSError):  # it has ended, perhaps in the middle of an answer
                yield from self.replace(worker)
            else:
                position, row = worker.asked.popleft()
                yield position, self.item(row, answer)

    def item(self, row: int, answer: Answer) -> Item:
        if isinstance(answer, str):
            return answer
        if isinstance(answer, Failed):
            raise RuntimeError(f"an image could not be prepared:\n{answer.text}")
        shape, dtype, size = answer
        array = np.frombuffer(self.rows, dtype, int(np.prod(shape)), row * ROW_BYTES)
        picture = row * ROW_BYTES + TENSOR_BYTES
        return torch.from_numpy(array.reshape(shape).copy()), self.rows[picture : picture + size]

    def replace(self, worker: "Worker") -> Iterator[tuple[int, str]]:
        """Start a process in the place of one that has ended; name an image that has ended two."""
        how = worker.stop()
        if worker.asked:
            position, _ = worker.asked[0]
            if position in self.suspects:
                worker.asked.popleft()
                path = self.images.paths[position]
                yield position, f"{path}: two processes that decoded it were ended ({how})"
            self.suspects.add(position)
        worker.start()


class Worker:
    """A process, the pipes to it and from it, and what it has not yet answered, in order."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders = decoders
        self.asked: deque[tuple[int, int]] = deque()  # position and row
        self.process: multiprocessing.Process | None = None

    def start(self) -> None:
        wanted, self.wanted = FORK.Pipe(duplex=False)
        self.answers, answers = FORK.Pipe(duplex=False)
        running = [worker for worker in self.decoders.workers if worker.process is not None]
        ours = [self.wanted, self.answers]
        ours += [end for worker in running for end in (worker.wanted, worker.answers)]
        arguments = (self.decoders, wanted, answers, ours)
        self.process = FORK.Process(target=decode_wanted, args=arguments, daemon=True)
        self.process.start()
        wanted.close()  # the process alone has these: it sees us end, and we see it end
        answers.close()
        self.send(list(self.asked))

    def ask(self, pairs: list[tuple[int, int]]) -> None:
        self.asked += pairs
        self.send(pairs)

    def send(self, pairs: list[tuple[int, int]]) -> None:
        with suppress(BrokenPipeError):  # it has ended; who waits for its answers replaces it
            if pairs:
                self.wanted.send(pairs)

    def stop(self) -> str:
        """End the process, if it runs; says how it ended."""
        if self.process is None:
            return "not started"
        self.wanted.close()
        self.answers.close()
        self.process.join(timeout=1)
        if self.process.exitcode is None:  # at an image that nobody waits for any more
            self.process.kill()
            self.process.join()
        status = self.process.exitcode
        self.process = None
        return f"signal {-status}" if status < 0 else f"status {status}"


def decode_wanted(
    decoders: Decoders, wanted: Connection, answers: Connection, others: list[Connection]
) -> None:
    """The life of a worker: it answers what it is asked until the pipe is closed."""
    for end in others:  # they belong to the program, whose end each process must see
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program, and that closes pipes
    torch.set_num_threads(1)
    return_freed_memory()  # one huge photograph shall not stay a worker's size
    if "cv2" in sys.modules:  # where cutouts brought OpenCV: the workers share the cores already
        sys.modules["cv2"].setNumThreads(0)  # 1 waits for ever for threads that no fork has
    with suppress(EOFError, BrokenPipeError):
        while True:
            for position, row in wanted.recv():
                answers.send(prepare(decoders, position, row))


def prepare(decoders: Decoders, position: int, row: int) -> Answer:
    try:
        item = decoders.images[position]
        if isinstance(item, str):
            return item
        array, picture = item[0].numpy(), item[1]
        sizes = array.nbytes, len(picture)
        if sizes[0] > TENSOR_BYTES or sizes[1] > THUMBNAIL_BYTES:
            most = f"{TENSOR_BYTES} and {THUMBNAIL_BYTES}"
            raise ValueError(f"a tensor and a picture of {sizes} bytes, expected {most} at most")
        for start, content in ((0, array.tobytes()), (TENSOR_BYTES, picture)):
            start += row * ROW_BYTES
            decoders.rows[start : start + len(content)] = content
        return array.shape, array.dtype.str, len(picture)
    except Exception:  # whatever it is, the program ends with it
        return Failed(traceback.format_exc())
