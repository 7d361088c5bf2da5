"""browser.py finds what it says it finds."""

import pytest
from browser import flaws

GOOD = """<!doctype html><html lang="en"><head><title>Page</title><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; }</style></head><body>CONTENT</body></html>"""


@pytest.fixture
def write(tmp_path):
    def write_page(content: str):
        (tmp_path / "outside.txt").touch()
        path = tmp_path / "pages/page.html"
        path.parent.mkdir()
        path.write_text(GOOD.replace("CONTENT", content))
        return path

    return write_page


FLAWS = {
    '<img src="data:,">': "no text for the picture data:,",
    '<a href="gone.html">x</a>': "a link leads to file://",
    '<a href="../outside.txt">x</a>': "a link leads to file://",
    '<a href="https://example.org/">x</a>': "a link leads to https://example.org/",
    '<a href="#gone">x</a>': "a link leads to #gone, which the page does not have",
    "<button></button>": "a control without a name: <button></button>",
    '<div style="width: 500px">wide</div>': "the page is 5",
    '<p style="color: #888; background: #777">pale</p>': 'contrast 1.3 of "pale"',
    '<p style="color: #333">only by day</p>': "contrast 1.",  # the scheme is dark
}


def test_each_flaw_is_found(open_page, write):
    path = write("".join(FLAWS))
    found = flaws(open_page(path, "dark", 390), path.parent)
    assert len(found) == len(FLAWS)
    for flaw in FLAWS.values():
        assert any(text.startswith(flaw) for text in found), (flaw, found)


def test_an_error_or_a_request_outside_is_a_problem(open_page, write, problems):
    path = write("<script>nowhere()</script>" + '<img src="http://example.org/a.png" alt="">')
    open_page(path).wait_for_timeout(200)
    for problem in ("fails: nowhere is not defined", "asked for http://example.org"):
        assert any(text.startswith(f"page.html {problem}") for text in problems), problems
    problems.clear()
