"""How good a quick start's paintings are, in a few sentences out of evaluate.py's figures."""

from pathlib import Path

from demo.notes import read_note, reading, stage


def read_evaluation(run: Path) -> list[str] | None:
    """What the paintings are like; None where the run has no report on them.

    ValueError for another content.
    """
    path, next_step = run / "evaluation/figures.json", stage("evaluation")
    if not path.is_file():
        return None
    sets = read_note(path, {"sets": {}}, next_step)["sets"]
    with reading(path, next_step):  # which fails where a figure is no number
        return what_paintings_are_like(sets)


def what_paintings_are_like(sets: dict[str, dict]) -> list[str]:
    """A sentence for each figure that is known: edges, colours, traces, copies."""
    hybrids, others = sets.get("hybrids", {}), sets.get("non-hybrids", {})
    found = []
    edges = hybrids.get("structure") or {}
    f1, chance = value_of(edges.get("f1")), edges.get("f1_of_another")
    if f1 is not None and chance is not None:
        found.append(
            f"Edges: those in the painted hybrids agree with those asked for by {f1:.2f} (F1), "
            f"those of another painting by {chance:.2f}; 1 is perfect."
        )
    way = value_of((hybrids.get("appearance") or {}).get("way"))
    if way is not None:
        found.append(
            f"Colours: from the structure's photograph they have come {100 * way:.0f} % of the way "
            "to the reference's; hybrids shall inherit about half."
        )
    told_apart = value_of(others.get("told_apart"))
    if told_apart is not None:
        found.append(
            "Traces: shown a painted and a photographed non-hybrid, a classifier picks out the "
            f"painted one in {100 * told_apart:.0f} % of the cases; 50 % would be guessing. "
            "The closer to 100 %, the more can a detector learn how paintings look instead "
            "of how hybrids look."
        )
    close = value_of((hybrids.get("memorised") or {}).get("close"))
    if close is not None:
        found.append(
            f"Copies: {100 * close:.0f} % of the painted hybrids lie as close to a photograph as "
            "only 5 % of the photographs lie to another."
        )
    return found


def value_of(figure: dict | None) -> float | None:
    """A figure without its interval; evaluate.py leaves out what there are too few images for."""
    return None if figure is None else figure.get("value")
