"""Which hybrids a detector missed, and what can be said of why."""

from collections import Counter
from collections.abc import Sequence

from demo.run import Call, Cross, Run, Said, cross_of, title_of

ONE_PARENT = 0.75  # the largest share of a parent that details.csv knows: it looks like that one


def wrong(calls: Sequence[Call], hybrid: bool) -> list[Call]:
    """The hybrids that were missed, or else the others that were called hybrids."""
    return [call for call in calls if call.hybrid == hybrid and call.called != hybrid]


def extremes(calls: Sequence[Call], count: int) -> list[Call]:
    """At most `count` calls, the furthest from their threshold: the first of each cross or
    subspecies, then the second of each, and so on.
    """
    seen: Counter[Cross] = Counter()
    ranked = []
    for place, call in enumerate(sorted(calls, key=lambda call: abs(call.margin), reverse=True)):
        ranked.append((seen[call.cross], place, call))
        seen[call.cross] += 1
    return [call for *_, call in sorted(ranked, key=lambda rank: rank[:2])][:count]


def how_known(run: Run, cross: Cross, painted: bool) -> str:
    """What of a cross the detector could learn from, `painted` images being among it or not."""
    photographs = run.crosses_in_training[cross]
    if photographs:
        return f"{counted(photographs, 'photograph')} of this cross to learn from"
    if not cross <= set(run.subspecies.values()):
        return "another species, with nothing of it to learn from"
    if painted and run.painted_crosses[cross]:
        count = counted(run.painted_crosses[cross], "painted image")
        return f"no photograph of this cross to learn from, but {count}"
    if painted and run.are_alike(cross):
        return "nothing of this cross to learn from: look-alike parents are not painted"
    alike = ", and its parents look alike" if run.are_alike(cross) else ""
    return f"nothing of this cross to learn from{alike}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def what_members_said(said: Said, members: Sequence[str]) -> str:
    """The probability of a hybrid that each of `members` gave."""
    return ", ".join(
        f"{name} {said.probability[name]:.2f}" for name in members if name in said.probability
    )


def what_it_looks_like(call: Call, said: Said) -> str:
    """Between which subspecies the third member puts a specimen; empty without it."""
    if not said.parents:
        return ""
    first, second = said.parents
    if said.share >= ONE_PARENT:
        return f"to the third member as near to {first} as a hybrid can be"
    between = f"to the third member between {first} ({said.share:.0%}) and {second}"
    right = " x " in call.shows and cross_of(call.shows) == {first, second}
    return between + (", as it should be" if right else "")


def missed_by_cross(calls: Sequence[Call]) -> dict[str, tuple[int, int]]:
    """By cross, how many of its hybrids were missed, and of how many; crosses with misses only."""
    crosses: dict[str, tuple[int, int]] = {}
    for call in calls:
        if call.hybrid:
            missed, count = crosses.get(title_of(call.cross), (0, 0))
            crosses[title_of(call.cross)] = (missed + (not call.called), count + 1)
    found = {name: counts for name, counts in crosses.items() if counts[0]}
    return dict(sorted(found.items(), key=lambda item: item[1][0], reverse=True))
