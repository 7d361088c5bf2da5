"""What the tests of hostile names, tables and files draw from."""

import os
import random

from hypothesis import strategies as st

NAMES = [  # of files
    *("plain.png", "a,b.png", "a b.png", "'\"`$(id).png", "<script>alert(1)<", "&amp;.png"),
    *("a\nb.png", "a\rb.png", "\t.png", "\x1b[2J.png", "%0a.png", "-rf.png", "=1+1.png"),
    *("\N{RIGHT-TO-LEFT OVERRIDE}gnp.png", "\N{BUTTERFLY}.png", "e\N{COMBINING ACUTE ACCENT}.png"),
    *("x" * 251 + ".png", "CON.png", "~.png", "#?.png", os.fsdecode(b"\xff\xfe.png")),
]
CELLS = [
    *("", " ", "0", "1", "nan", "NA", "-1", "1e999", "hybrid", "train", "8.0", "a.jpg", "b.jpg"),
    *("../a.jpg", "/etc/passwd", "a/../../b.jpg", "C:\\a.jpg", "..\\a.jpg", "./a.jpg", "a\0.jpg"),
    *("\N{RIGHT-TO-LEFT OVERRIDE}gpj.a", "\ufeff", "\x85", "\N{LINE SEPARATOR}", "\ud800"),
    *('"', '""', 'a"b', '"a\nb"', "a\rb", "<script>", "=1+1", "x" * 300, "x" * 200_000, "9" * 5000),
]
TEXT = st.one_of(st.sampled_from(CELLS), st.text(max_size=12))
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n \n", "\0\n", ""])


@st.composite
def hostile(draw, rows: list[list[str]], separator: str) -> bytes:
    """A good table, some of whose cells, line ends and bytes are not."""
    rows = [list(row) for row in rows]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.sampled_from(rows))
        place = draw(st.integers(0, len(row)))
        row[place : place + draw(st.integers(0, 1))] = draw(st.lists(TEXT, max_size=1))
    end = draw(ENDS)
    text = "".join(separator.join(row) + (end or draw(ENDS)) for row in rows)
    data = text.encode("utf-8", "surrogatepass")
    kind = draw(st.sampled_from(["good", "good", "good", "BOM", "UTF-16", "cut", "bytes", "noise"]))
    if kind == "BOM":
        return b"\xef\xbb\xbf" + data
    if kind == "UTF-16":
        return text.encode("utf-16", "surrogatepass")
    if kind == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if kind == "bytes":
        place = draw(st.integers(0, len(data)))
        return data[:place] + draw(st.binary(max_size=4)) + data[place:]
    return draw(st.binary(max_size=60)) if kind == "noise" else data


def damaged(draw: random.Random, whole: bytes) -> bytes:
    """The bytes of a file of which some are flipped, repeated, overwritten, removed, or cut off."""
    data = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 8))):
        start = draw.randrange(len(data) + 1)
        some = data[start : start + draw.choice((1, 2, 4, 64, 1024))]
        flipped = bytes(byte ^ 1 << draw.randrange(8) for byte in some[:1]) + some[1:]
        number = draw.choice((2**31 - 1, 2**32 - 1, 2**16, 10**6))  # a length that is far too large
        put = [flipped, some + some, bytes([draw.choice((0, 255, 127, 10))]) * len(some), b""]
        put += [number.to_bytes(4, draw.choice(("little", "big")))]
        data[start : start + len(some)] = draw.choice(put)
        if draw.random() < 1 / 6:
            del data[start:]
    return bytes(data)
