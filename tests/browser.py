"""Opens pages in a real Chromium, as a reader does, and finds what a reader would stumble over.

    def test_a_page(open_page, tmp_path):
        page = open_page(tmp_path / "index.html", scheme="dark", width=390)  # a Playwright page
        page.get_by_role("button", name="next").click()
        assert flaws(page) == []

`open_page` fails the test at its end when a page wrote an error to the console or asked for
anything outside its own folder. Without Playwright or a browser such a test is skipped.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCREENS = [(scheme, width) for scheme in ("light", "dark") for width in (390, 1400)]  # phone, desk


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser; the test is skipped where there is none."""
    reason = "needs Playwright: scripts/setup.sh --with browser"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("needs a browser: on Debian apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> list[str]:
    """What the pages that the test opened did and must not; emptied by a test that wants it."""
    return []


@pytest.fixture
def open_page(chromium, problems) -> Iterator[Callable]:
    contexts = []

    def open_file(path: Path, scheme: str = "light", width: int = 1400, **options: object):
        """`options` are of Playwright's new_context, such as java_script_enabled=False."""
        size = {"width": width, "height": 900}
        context = chromium.new_context(
            color_scheme=scheme, viewport=size, offline=True, accept_downloads=True, **options
        )
        contexts.append(context)

        def note_request(request) -> None:
            if not lies_inside(request.url, path.parent):
                problems.append(f"{path.name} asked for {request.url}")

        def note_console(message) -> None:
            if message.type == "error":
                problems.append(f"{path.name} says: {message.text}")

        context.on("request", note_request)
        page = context.new_page()
        page.on("console", note_console)
        page.on("pageerror", lambda error: problems.append(f"{path.name} fails: {error}"))
        page.goto(path.resolve().as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []


def file_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path)).resolve()


def lies_inside(url: str, folder: Path) -> bool:
    """Whether `url` is part of the page itself, or a file in `folder`."""
    scheme = urlsplit(url).scheme
    inside = scheme == "file" and file_of(url).is_relative_to(folder.resolve())
    return inside or scheme in ("data", "blob", "about")


def flaws(page, root: Path = Path("/")) -> list[str]:
    """What a reader of the open page would stumble over; nothing for a good page.

    Links must lead to files in `root` or to parts of the page, and text must differ from its
    ground by the contrast of WCAG 2.
    """
    found = page.evaluate(FLAWS)
    return found["flaws"] + [
        f"a link leads to {link}"
        for link in found["links"]
        if not lies_inside(link, root) or (link.startswith("file:") and not file_of(link).exists())
    ]


# Text over a picture or a gradient has no one ground, and is not judged.
FLAWS = """
() => {
  const flaws = [], links = [];
  const root = document.documentElement;
  if (!root.lang) flaws.push('the page names no language');
  if (!document.title) flaws.push('the page has no title');
  if (!document.querySelector('meta[name=viewport]')) flaws.push('the page fits no phone');
  if (root.scrollWidth > root.clientWidth)
    flaws.push(`the page is ${root.scrollWidth} wide on a screen of ${root.clientWidth}`);
  for (const image of document.images)
    if (!image.hasAttribute('alt')) flaws.push(`no text for the picture ${image.src}`);
  for (const link of document.querySelectorAll('[href], [src]')) {
    const text = link.getAttribute('href') ?? link.getAttribute('src');
    if (!text.startsWith('#')) links.push(link.href ?? link.src);
    else if (text !== '#' && !document.getElementById(decodeURIComponent(text.slice(1))))
      flaws.push(`a link leads to ${text}, which the page does not have`);
  }
  for (const control of document.querySelectorAll('button, select, input, textarea, summary, a'))
    if (!(control.labels?.length || control.getAttribute('aria-label') || control.title
          || control.getAttribute('aria-labelledby') || control.textContent.trim()
          || control.querySelector('img[alt]:not([alt=""])') || control.type === 'hidden'))
      flaws.push(`a control without a name: ${control.outerHTML.slice(0, 80)}`);

  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const paint = colours => {  // red, green, blue of 0 to 255, of one over the other
    for (canvas.fillStyle of colours) canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const dark = getComputedStyle(root).colorScheme.includes('dark')
    && matchMedia('(prefers-color-scheme: dark)').matches;
  const grounds = element => {  // from the farthest; null over a picture
    if (!element) return [dark ? '#121212' : '#fff'];
    const style = getComputedStyle(element);
    const under = style.backgroundImage === 'none' ? grounds(element.parentElement) : null;
    return under && [...under, style.backgroundColor];
  };
  const light = colour => {
    const [red, green, blue] = colour.map(value => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim()) continue;
    if (!element.checkVisibility() || element.closest('script, style, :disabled, svg')) continue;
    const under = grounds(element);
    if (!under) continue;
    const text = [...under, getComputedStyle(element).color];
    const [high, low] = [light(paint(text)), light(paint(under))].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5)
      flaws.push(`contrast ${ratio.toFixed(1)} of "${element.textContent.trim().slice(0, 40)}"`);
  }
  return {flaws, links: [...new Set(links)]};
}
"""
