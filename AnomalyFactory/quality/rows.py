"""The tables of a report: a row for each pair of subspecies, a row for each painted image."""

from collections.abc import Sequence

import numpy as np

from quality.distances import euclidean, mean_of_pairs
from quality.figures import Figure, Nearest, expected_distances, finite_mean
from quality.measure import Painted, Photos


def pair_rows(
    painted: Painted, photos: Photos, nearest: Nearest, looks: np.ndarray
) -> list[Figure]:
    """A row for each pair of subspecies."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, painting in enumerate(painted.paintings):
        groups.setdefault(painting.pair, []).append(place)
    expected = expected_distances(groups, photos)
    rows = []
    for pair in sorted(groups, key=in_reading_order):
        places = np.array(groups[pair])
        features = painted.features[places]
        within = mean_of_pairs(euclidean(features, features), np.ones(len(places)))
        rows.append(
            {
                "structure": pair[0],
                "reference": pair[1],
                "painted": len(places),
                "edges_f1": finite_mean(painted.edges[places, 0]),
                "colour_distance": finite_mean(painted.colours[places]),
                "colour_distance_before": finite_mean(painted.given_colours[places]),
                "diversity": within / expected[pair],
                "nearest_photograph": float(np.median(nearest.distance[places])),
                "close": float((nearest.distance[places] <= nearest.close).mean()),
                "looks_painted": finite_mean(looks[places]),
            }
        )
    return rows


def image_rows(
    painted: Painted, photos: Photos, nearest: Nearest, looks: np.ndarray
) -> list[Figure]:
    """A row for each painted image."""
    return [
        {
            "image": painting.name,
            "structure_subspecies": painting.structure[0],
            "structure": painting.structure[1],
            "reference_subspecies": painting.reference[0],
            "reference": painting.reference[1],
            "edges_f1": float(painted.edges[place, 0]),
            "edges_precision": float(painted.edges[place, 1]),
            "edges_recall": float(painted.edges[place, 2]),
            "edges_f1_of_photograph": float(painted.photo_edges[place]),
            "colour_distance": float(painted.colours[place]),
            "colour_distance_to_structure": float(painted.kept_colours[place]),
            "colour_distance_before": float(painted.given_colours[place]),
            "nearest_photograph": "/".join(photos.keys[nearest.place[place]]),
            "nearest_distance": float(nearest.distance[place]),
            "looks_painted": float(looks[place]),
        }
        for place, painting in enumerate(painted.paintings)
    ]


def in_reading_order(names: Sequence[str]) -> list[tuple[int, str]]:
    """A key that sorts 2 before 10."""
    return [(len(name), name) for name in names]
