"""Which shards a collection has, and which of them are done: without Ray."""

import json
from pathlib import Path

import pytest
from collection_shards import (
    Counts,
    Shard,
    Source,
    all_shards,
    find_finished,
    find_sources,
    folder_sources,
    keep_settings,
    left_to_do,
    row_group_sources,
    shard_file,
    shards_in,
)

DESCRIBED = ("a/b.parquet", "9000")


def ranges(sources: list[Source]) -> list[list[tuple[int, int]]]:
    return [[(shard.start, shard.stop) for shard in source.shards] for source in sources]


def test_a_folder_has_a_source_for_each_shard():
    names = [f"{index}.png" for index in range(5)]
    sources = folder_sources(Path("/photos"), names, rows=2)
    assert [source.names for source in sources] == [
        ("0.png", "1.png"),
        ("2.png", "3.png"),
        ("4.png",),
    ]
    assert ranges(sources) == [[(0, 2)], [(0, 2)], [(0, 1)]]
    places = [shard.file.rpartition("-")[2] for shard in all_shards(sources)]
    assert places == ["000000000.parquet", "000000002.parquet", "000000004.parquet"]


@pytest.mark.parametrize(
    ("groups", "expected", "read"),
    [
        ([10], [[(0, 4), (4, 8), (8, 10)]], [(0,)]),  # one task reads a row group, however large
        ([2, 2, 2, 2], [[(0, 4)], [(0, 4)]], [(0, 1), (2, 3)]),  # small ones are taken together
        ([3, 3, 1], [[(0, 4), (4, 6)], [(0, 1)]], [(0, 1), (2,)]),
        ([0, 4, 0], [[(0, 4)]], [(0, 1)]),
        ([], [], []),
    ],
)
def test_row_groups_are_cut_into_shards(groups, expected, read):
    sources = row_group_sources(Path("/a/b.parquet"), DESCRIBED, groups, rows=4)
    assert ranges(sources) == expected
    assert [source.groups for source in sources] == read


def test_the_name_of_a_shard_counts_rows_of_the_whole_file():
    sources = row_group_sources(Path("/a/b.parquet"), DESCRIBED, [5, 5], rows=4)
    assert [shard.file for shard in all_shards(sources)] == [
        shard_file("b", DESCRIBED, start) for start in (0, 4, 5, 9)
    ]


def test_the_name_of_a_shard():
    assert shard_file("my photos, 2/ü", ["a"], 7) == "my-photos-2-ca978112ca1b-000000007.parquet"
    assert shard_file("蝶", ["b"], 0).startswith("images-")
    assert len(shard_file("x" * 300, ["a"], 0)) == 40 + len("-ca978112ca1b-000000007.parquet")
    assert shard_file("a", ["b\udc80"], 0) != shard_file("a", ["b"], 0)


def test_finished_shards_are_passed_over():
    sources = row_group_sources(Path("/a.parquet"), DESCRIBED, [4, 10], rows=4)
    first, second, third, last = (shard.file for shard in all_shards(sources))
    done = {first: Counts(4, 0), third: Counts(4, 1)}
    rest = left_to_do(sources, done)
    assert [source.groups for source in rest] == [(1,)]
    assert [shard.file for shard in all_shards(rest)] == [second, last]
    assert rest[0].shards[1] == Shard(last, 8, 10)


def test_settings_are_kept_and_others_refused(tmp_path):
    keep_settings(tmp_path, {"features": False, "members": ["sgd"]})
    keep_settings(tmp_path, {"features": False, "members": ["sgd"]})
    with pytest.raises(
        ValueError,
        match=r"begun with other settings: features was False and is now True; "
        r"shard was None and is now 5\. Repeat those, or choose another --output",
    ):
        keep_settings(tmp_path, {"features": True, "members": ["sgd"], "shard": 5})


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_damaged_settings_are_refused(tmp_path, text):
    (tmp_path / "_settings.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"_settings.json: damaged .*choose another --output"):
        keep_settings(tmp_path, {})


def test_shards_of_unknown_settings_are_refused(tmp_path):
    (tmp_path / "a.parquet").touch()
    with pytest.raises(ValueError, match=r"but no _settings\.json"):
        keep_settings(tmp_path, {})
    assert not (tmp_path / "_settings.json").exists()


def test_what_is_being_written_is_not_finished(tmp_path):
    for name in (".0123.part.parquet", "a.parquet", "_settings.json"):
        (tmp_path / name).touch()
    assert shards_in(tmp_path) == ["a.parquet"]


def test_shards_of_another_input_are_refused(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"a.parquet and 1 more: not of the images that --input"):
        find_finished(tmp_path, [])


def test_a_folder_is_searched_with_its_sub_folders(tmp_path, draw):
    photos = tmp_path / "photos"
    for name in ("b.png", "a/c.JPG", ".hidden/d.png", "a/.e.png"):
        draw(photos / name)
    (photos / "notes.txt").touch()
    [source] = find_sources(photos, rows=10)
    assert source.names == ("a/c.JPG", "b.png")
    assert source.path == photos


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no images"),
        (["a.png", "b.parquet"], "holds images, such as a.png, and Parquet files, such as b.par"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path, files, message):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        find_sources(tmp_path, rows=10)
    with pytest.raises(ValueError, match="no such folder or Parquet file"):
        find_sources(tmp_path / "none", rows=10)


def test_settings_are_written_as_json(tmp_path):
    keep_settings(tmp_path, {"backbone": "dinov2_base"})
    assert json.loads((tmp_path / "_settings.json").read_text()) == {"backbone": "dinov2_base"}
