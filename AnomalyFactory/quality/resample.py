"""How far a figure moves when other specimens are drawn: the bootstrap, by source photograph."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain

import numpy as np

DRAWS = 200
LEVEL = 95  # per cent of the draws that lie within an interval


def weights_by_source(
    groups: Sequence[Sequence[Hashable]], random: np.random.Generator, draws: int = DRAWS
) -> Iterator[list[np.ndarray]]:
    """Bootstrap weights (Efron 1979) of images whose sources `groups` name, `draws` times.

    Each draw takes as many sources as there are, with replacement; an image counts as often as its
    source was taken. What is painted on one photograph, and the photograph, so come together.
    """
    everyone = dict.fromkeys(chain.from_iterable(groups))
    sources = {source: place for place, source in enumerate(everyone)}
    places = [np.array([sources[source] for source in group], int) for group in groups]
    chances = np.full(len(sources), 1 / len(sources))
    for _ in range(draws):
        counts = random.multinomial(len(sources), chances)
        yield [counts[place] for place in places]


def interval(draws: Sequence[float]) -> tuple[float, float]:
    """The interval that LEVEL % of the draws lie in (the percentile method).

    Draws that gave no number are left out. NaN and NaN where the others are all equal: none in so
    many images says nothing of how far it may move.
    """
    finite = np.array([draw for draw in draws if np.isfinite(draw)])
    if not len(finite) or np.ptp(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def mean_with_interval(
    values: np.ndarray, sources: Sequence[Hashable], random: np.random.Generator
) -> dict[str, float]:
    """The mean of the finite among `values` (n,), with its interval."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    return with_interval(
        lambda weights: weighted_mean(values[known], weights),
        [[source for source, use in zip(sources, known, strict=True) if use]],
        random,
    )


def with_interval(
    figure: Callable[..., float],  # of the weights of each group
    groups: Sequence[Sequence[Hashable]],
    random: np.random.Generator,
    value: float | None = None,  # default: the figure with all weights 1
) -> dict[str, float]:
    """`value`, `low` and `high` of a figure of weighted images.

    With a `value` of its own, the draws are moved so that their mean lies there: drawing with
    replacement makes images equal, and that alone raises a Frechet distance.
    """
    if not all(len(group) for group in groups):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    draws = np.array([figure(*weights) for weights in weights_by_source(groups, random)])
    if value is None:
        value = figure(*[np.ones(len(group)) for group in groups])
    elif np.isfinite(draws).any():
        draws += value - np.nanmean(draws)
    low, high = interval(draws)
    return {"value": float(value), "low": low, "high": high}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    total = weights.sum()
    return float((weights * values).sum() / total) if total else float("nan")
