"""Seconds of several ways to do the same, for the programs that measure."""

import os
import time
from collections.abc import Callable

from tqdm import tqdm

Ways = dict[str, Callable[[], object]]


def time_ways(ways: Ways, rounds: int, warm: bool = False) -> dict[str, dict[str, list[float]]]:
    """`seconds` of the clock, and of all processors for this process and its ended children, of
    each way in each round; with `warm`, after a round that does not count."""
    times = {name: {"seconds": [], "processor": []} for name in ways}
    for number in tqdm(range(1 - warm, rounds + 1), "rounds", disable=None):
        for name, run in ways.items():
            began, began_processor = time.perf_counter(), processor_seconds()
            run()
            seconds, processor = time.perf_counter() - began, processor_seconds() - began_processor
            if number:
                times[name]["seconds"].append(seconds)
                times[name]["processor"].append(processor)
    return times


def processor_seconds() -> float:
    """Of this process and its ended children, so far."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
