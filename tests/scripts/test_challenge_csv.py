"""Reading the challenge's CSV: what it gives, and an error with a line number for each fault."""

import pytest
from common.challenge_csv import (
    GENERATED,
    by_subspecies,
    counted,
    read_photos,
)
from common.program import InputError

HASH = "0123456789abcdef" * 2
GOOD = "C1,u,non-hybrid,train,z,m,8.0,,,C1.jpg"


def test_what_is_read(write_csv):
    """Subspecies come in the order of their numbers."""
    rows = [GOOD, "C2,u,hybrid,train,z,m,,8.0,9.0,C2.jpg", "C3,u,non-hybrid,train,z,m,agl,,,C3.png"]
    photos = read_photos(write_csv(rows))
    assert [photo.subspecies for photo in photos] == ["8", "8_9", "agl"]
    assert [photo.status for photo in photos] == ["non-hybrid", "hybrid", "non-hybrid"]
    rows = [f"C{n},u,non-hybrid,train,z,m,{s},,,C{n}.jpg" for n, s in enumerate("x 10 9.0".split())]
    assert list(by_subspecies(read_photos(write_csv(rows)))) == ["9", "10", "x"]


def test_names_of_generated_images():
    found = GENERATED.fullmatch("AF_9_agl-x_gen00012.png")
    assert found.groupdict() == {"i": "9", "j": "agl-x", "index": "00012"}
    for name in ("AF_9_8_gen0012.png", "AF_9_8_9_gen00012.png", "AF_9_8_gen00012.jpg"):
        assert GENERATED.fullmatch(name) is None


@pytest.mark.parametrize(
    "row, message",
    [
        ("C2,u,maybe,train,z,m,8.0,,,C2.jpg", "hybrid_stat 'maybe'; expected hybrid or non-hybrid"),
        ("C2,u,hybrid,train,z,m,,8.0,,C2.jpg", "parent_subspecies_2 ''"),
        ("C2,u,non-hybrid,train,z,m,../8,,,C2.jpg", "subspecies '../8'"),
        ("C2,u,non-hybrid,train,z,m,8.00,,,C2.jpg", "subspecies '8.00'"),
        ("C2,u,non-hybrid,train,z,m,8.0,,,a/C2.jpg", "no folders"),
        ("C2,u,non-hybrid,train,z,m,8.0,,,a\tC2.jpg", "expected an image"),
        ("C2,u,non-hybrid,train,z,m,8.0,,,C2.sh", "expected an image"),
        ("C2,u,non-hybrid,train,z,m,8.0,,,c1.JPG", "'c1.JPG' stands already at"),
        ("C2,u,hybrid,train,z,m,,8.0,8,C2.jpg", "a hybrid of 8_8; expected two subspecies"),
        ("c1 ,u,hybrid,train,z,m,,8.0,9.0,C2.jpg", "CAMID c1 is hybrid 8_9, but non-hybrid 8 at"),
        (f"C2,u,non-hybrid,train,z,{HASH},9,,,C2.jpg", "9, but non-hybrid 8 at {path}, line 2; co"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(write_csv, row, message):
    path = write_csv([GOOD.replace(",m,", f",{HASH.upper()},"), row])
    with pytest.raises(InputError) as error:
        read_photos(path)
    assert str(error.value).startswith(f"{path}, line 3: ")
    assert message.replace("{path}", str(path)) in str(error.value)


def test_photographs_are_counted_with_their_specimens(write_csv):
    """Which one content, or blank CAMIDs, do not contradict."""
    rows = [f"{camid},u,non-hybrid,train,z,{HASH},8.0,,,{n}.jpg" for n, camid in enumerate("Aab  ")]
    assert counted(read_photos(write_csv(rows))) == "5 photographs of 4 specimens"
    assert counted(read_photos(write_csv(rows[2:]))) == "3 photographs"


def test_a_file_that_is_no_such_csv(write_csv):
    with pytest.raises(InputError, match="no rows below its first line"):
        read_photos(write_csv([]))
    with pytest.raises(InputError, match="no column file_url in its first line"):
        read_photos(write_csv([], "CAMID,filename"))


def test_a_program_ends_with_the_error_and_no_traceback(repository, run, tmp_path):
    done = run(repository / "scripts/make_lists.py", "--csv", tmp_path / "none.csv")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith(f"make_lists: {tmp_path / 'none.csv'}: no such file; ")


def test_a_word_for_nothing_names_no_specimen_and_a_cross_reads_either_way_round(write_csv):
    rows = ["NA,u,non-hybrid,train,z,,8.0,,,C1.jpg", "na,u,non-hybrid,train,z,,9.0,,,C2.jpg"]
    rows += ["C3,u,hybrid,train,z,,,8.0,9.0,C3.jpg", "C3,u,hybrid,train,z,,,9.0,8.0,C4.jpg"]
    assert len(read_photos(write_csv(rows))) == 4
