"""Hostile Parquet files, as lists of images and as collections: loaded, or refused by name.

    pytest tests/faults/test_parquet.py --files 2000

mutates as many files; the outcome is printed with -s.
"""

import io
import random
import subprocess
import sys
from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path

import listing
import numpy as np
import pytest
import shards
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pyarrow = pytest.importorskip("pyarrow", reason="needs scripts/setup.sh --with collection")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["b.png", "a/c.png", "../d.png", "/etc/passwd", "a\0.png", "x" * 300 + ".png", None, ""]


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "orange").save(buffer, "JPEG")
    return buffer.getvalue()


def written(table: pyarrow.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, **options)
    return buffer.getvalue()


def lists() -> list[bytes]:
    """Lists of images in all ways that a writer may choose."""
    table = pyarrow.table({"camid": range(80), listing.COLUMN: NAMES * 10})
    coded = pyarrow.table({listing.COLUMN: pyarrow.array(NAMES * 10).dictionary_encode()})
    alone = table.drop_columns(["camid"])
    large = pyarrow.table({listing.COLUMN: pyarrow.array(NAMES * 10, pyarrow.large_string())})
    return [
        written(table),
        written(table, compression="zstd", row_group_size=16),
        written(table, compression="none", use_dictionary=False, data_page_version="2.0"),
        written(
            alone, compression="gzip", column_encoding="DELTA_BYTE_ARRAY", use_dictionary=False
        ),
        written(coded),
        written(large, compression="lz4"),
    ]


def tables() -> list[bytes]:
    """Collections: encoded images, and pixels with their sizes."""
    cells = [jpeg(), None, b"", b"no image", jpeg()[:300], jpeg()]
    encoded = pyarrow.table({"identifier": list("abcdef"), "image": cells})
    pixels = pyarrow.table(
        {
            "uuid": list("abc"),
            "original_size": [[4000, 3000]] * 3,
            "resized_size": [[20, 30], [20, 30], None],
            "image": [bytes(1800), bytes(1700), jpeg()],
        }
    )
    return [
        written(encoded),
        written(encoded, compression="none", row_group_size=2),
        written(pixels, compression="zstd"),
        written(pixels, use_dictionary=False, data_page_version="2.0"),
    ]


def bomb() -> bytes:
    """A list of ten thousand rows of one name of 5 MB, in 240 kB."""
    rows = pyarrow.array(np.zeros(10_000, np.int32))
    names = pyarrow.DictionaryArray.from_arrays(rows, ["x" * 5_000_000])
    content = written(pyarrow.table({listing.COLUMN: names}), store_schema=False)
    assert len(content) < 250_000
    return content


# ---------------------------------------------------------------------------------- the fuzzer

FUZZ = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy, pyarrow.parquet
from shards import find_sources
from stages import decode
from listing import listed_images
folder = Path(sys.argv[1])
for path in sorted(folder.iterdir()):
    print("at", path.name, flush=True)
    try:
        if path.name.startswith("list"):
            images, refused = listed_images(path, folder)
            assert all(isinstance(name, str) and name.isprintable() for name in images.names)
        else:
            for source in find_sources(path, 4):
                shards = list(decode({"item": [source]}, "photograph"))
                assert [len(shard["errors"][0]) for shard in shards] == [
                    shard.stop - shard.start for shard in source.shards
                ]
        print("loaded", path.name)
    except ValueError as error:
        assert str(path) in str(error), f"{error!r} does not name {path}"
        print("refused", path.name)
status = Path("/proc/self/status")
if status.exists():
    print("peak", status.read_text().split("VmHWM:")[1].split()[0])
"""
PEAK = 1_500  # MB, of which Python with PyTorch and PyArrow takes 800


def test_damaged_files_are_loaded_or_refused(tmp_path, mutate, repository, request):
    """In a process of its own, so that a crash is seen, too."""
    count = request.config.getoption("--files")
    draw = random.Random(count)
    folder = tmp_path / "files"
    folder.mkdir()
    wholes = {"list": lists(), "table": tables()}
    for number in range(count):
        kind = draw.choice(list(wholes))
        content = mutate(draw, draw.choice(wholes[kind]))
        (folder / f"{kind}{number:06d}.parquet").write_bytes(content)
    (folder / "list-bomb.parquet").write_bytes(bomb())
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, folder, repository / "HybridDetection/collection"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-9:]
    *lines, peak = done.stdout.splitlines()
    outcomes = Counter(line.split()[0] for line in lines)
    print(f"{outcomes['loaded']} loaded, {outcomes['refused']} refused, {peak} kB")
    assert outcomes["loaded"] + outcomes["refused"] == count + 1
    assert outcomes["loaded"] and outcomes["refused"]
    assert "loaded list-bomb.parquet" in lines
    if sys.platform == "linux":
        assert int(peak.split()[1]) < PEAK * 1024


# ---------------------------------------------------------------------------------- by claim


def test_where_names_cannot_be_kept_once_few_are_read_at_a_time(tmp_path, monkeypatch):
    asked = []
    real = parquet.ParquetFile.iter_batches

    def iter_batches(self, rows, **options):
        asked.append(rows)
        return real(self, rows, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", iter_batches)
    path = tmp_path / "list.parquet"
    for content in lists():
        path.write_bytes(content)
        assert len(listing.read_parquet(path)) == len(NAMES)
    many, few = 65_536, 64
    assert asked == [many, many, many, few, many, many]


def varint(number: int) -> bytes:
    """As Thrift's compact protocol writes a number that is not negative."""
    number, said = 2 * number, bytearray()
    while number > 127:
        said.append(number & 127 | 128)
        number >>= 7
    return bytes([*said, number])


@pytest.mark.parametrize("claim", [2**40, 10**5])
def test_rows_by_claim_are_refused_or_not_believed(tmp_path, claim):
    """A collection's would be cut into shards, and those fill the memory; a list's are never asked
    for."""
    rows = 4321
    names = [f"{row}.png" for row in range(rows)]
    whole = written(pyarrow.table({"uuid": names, "image": [b""] * rows, listing.COLUMN: names}))
    footer = int.from_bytes(whole[-8:-4], "little")
    data, foot = whole[: -8 - footer], whole[-8 - footer : -8]
    assert foot.count(varint(rows)) >= 2
    foot = foot.replace(varint(rows), varint(claim))
    path = tmp_path / "table.parquet"
    path.write_bytes(data + foot + len(foot).to_bytes(4, "little") + whole[-4:])
    with pytest.raises(
        ValueError, match=rf"table.parquet: not .* bytes claim to be {claim:,} rows"
    ):
        shards.find_sources(path, 4)
    assert listing.read_parquet(path) == names


def test_a_column_whose_name_is_no_text_is_refused(tmp_path):
    table = pyarrow.table({"uuid": ["a"], "image": [b""], listing.COLUMN: ["a.png"], "noted": [1]})
    path = tmp_path / "both.parquet"
    path.write_bytes(written(table, store_schema=False).replace(b"noted", b"n\xfft\xffd"))
    for read in (listing.read_parquet, partial(shards.table_sources, folder=tmp_path, rows=4)):
        with pytest.raises(
            ValueError, match=r"both.parquet: not a readable Parquet file \('utf-8'"
        ):
            read(path)


# ---------------------------------------------------------------------------------- other types

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KINDS = {
    pyarrow.string(): texts,
    pyarrow.large_string(): texts,
    pyarrow.dictionary(pyarrow.int32(), pyarrow.string()): texts,
    pyarrow.binary(): st.binary(max_size=40),
    pyarrow.int64(): st.integers(-(2**63), 2**63 - 1),
    pyarrow.float64(): st.floats(),
    pyarrow.bool_(): st.booleans(),
    pyarrow.date32(): st.dates(date(1, 1, 1), date(9999, 1, 1)),
    pyarrow.null(): st.none(),
    pyarrow.list_(pyarrow.string()): st.lists(texts, max_size=3),
    pyarrow.struct([("filename", pyarrow.string())]): st.fixed_dictionaries({"filename": texts}),
}


@st.composite
def columns(draw, *names: str) -> pyarrow.Table:
    """A table that has some of the columns, each of any type, with nulls."""
    count = draw(st.integers(0, 5))
    chosen = draw(st.lists(st.sampled_from([*names, "other"]), min_size=1, max_size=4))
    arrays = []
    for _ in chosen:
        kind = draw(st.sampled_from(list(KINDS)))
        cells = st.one_of(st.none(), KINDS[kind])
        values = draw(st.lists(cells, min_size=count, max_size=count))
        arrays.append(pyarrow.array(values, kind))
    return pyarrow.Table.from_arrays(arrays, chosen)


@given(table=columns(listing.COLUMN))
def test_lists_of_any_type(tmp_path, table):
    path = tmp_path / "list.parquet"
    path.write_bytes(written(table))
    try:
        images, refused = listing.listed_images(path, tmp_path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    names = set(table[listing.COLUMN].to_pylist())
    assert set(images.names) <= names
    assert len(images) + len(refused) == len(names)
    for name in images.names:
        assert name and not Path(name).is_absolute() and ".." not in name.split("/")


def test_names_that_leave_the_folder_and_nulls_are_named(tmp_path):
    path = tmp_path / "list.parquet"
    for content in lists():
        path.write_bytes(content)
        images, refused = listing.listed_images(path, tmp_path)
        assert images.names == ["a/c.png", "b.png", "x" * 300 + ".png"]
        assert len(refused) == len(NAMES) - 3
        assert all(str(path) in reason for reason in refused)


@given(table=columns("uuid", "identifier", "image", "original_size", "resized_size"))
def test_collections_of_any_type(tmp_path, table):
    stages = pytest.importorskip("stages")
    path = tmp_path / "table.parquet"
    path.write_bytes(written(table))
    try:
        sources = shards.find_sources(path, 2)
        rows = list(stages.decode({"item": sources}, "photograph"))
    except ValueError as error:
        assert str(path) in str(error)
        return
    assert sum(len(row["identifiers"][0]) for row in rows) == table.num_rows
    assert all(error for row in rows for error in row["errors"][0].as_py())
