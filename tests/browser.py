"""Opens pages in a real Chromium, as a reader does, and finds what a reader would stumble over.

    def test_a_page(open_page, tmp_path):
        page = open_page(tmp_path / "index.html", scheme="dark", width=390)  # a Playwright page
        page.get_by_role("button", name="next").click()
        assert flaws(page) == []

`open_page` fails the test at its end when a page wrote an error to the console or asked for
anything outside its own folder (`root`, where another one is named). Without Playwright or a
browser such a test is skipped.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")
WIDTHS = (390, 1400)  # pixels: a phone, a desk
SCREENS = [(scheme, width) for scheme in SCHEMES for width in WIDTHS]


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser; the test is skipped where there is none."""
    reason = "needs Playwright: scripts/setup.sh --with browser"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(
            f"needs a browser, one of {', '.join(BROWSERS)}: on Debian apt install chromium"
        )
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

    def open_file(
        path: Path,
        scheme: str = "light",
        width: int = 1400,
        root: Path | None = None,  # the folder that the page may ask; default: its own
        **options: object,  # of Playwright's new_context, such as java_script_enabled=False
    ):
        folder = (root or path.parent).resolve()
        size = {"width": width, "height": 900}
        context = chromium.new_context(
            color_scheme=scheme,
            viewport=size,
            offline=True,
            **{"accept_downloads": True, **options},
        )
        contexts.append(context)

        def note_request(request) -> None:
            if not lies_inside(request.url, folder):
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


def lies_inside(url: str, folder: Path) -> bool:
    """Whether `url` is part of the page itself, or a file in `folder`."""
    parts = urlsplit(url)
    if parts.scheme in ("data", "blob", "about"):
        return True
    return parts.scheme == "file" and Path(unquote(parts.path)).resolve().is_relative_to(folder)


def flaws(page, root: Path | None = None, contrast: float = 4.5) -> list[str]:
    """What a reader of the open page would stumble over; nothing for a good page.

    Links must lead to files in `root` (default: anywhere) or to parts of the page, and text must
    differ from its ground by the contrast of WCAG 2, of 1 to 21.
    """
    found = page.evaluate(FLAWS, contrast)
    return found["flaws"] + [
        f"a link leads to {link}"
        for link in found["links"]
        if not leads_somewhere(link, root.resolve() if root else None)
    ]


def leads_somewhere(link: str, root: Path | None) -> bool:
    parts = urlsplit(link)
    if parts.scheme in ("data", "blob"):
        return True
    path = Path(unquote(parts.path))
    inside = root is None or path.resolve().is_relative_to(root)
    return parts.scheme == "file" and path.exists() and inside


# Text over a picture or a gradient has no one ground, and is not judged.
FLAWS = """
least => {
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
  const channels = colour => {  // red, green, blue of 0 to 255 and opacity of 0 to 1
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, ground) =>
    [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
  const ground = element => {
    if (!element) {
      const dark = getComputedStyle(root).colorScheme.includes('dark')
        && matchMedia('(prefers-color-scheme: dark)').matches;
      return dark ? [18, 18, 18, 1] : [255, 255, 255, 1];
    }
    const style = getComputedStyle(element);
    if (style.backgroundImage !== 'none') return null;
    const own = channels(style.backgroundColor);
    if (own[3] === 1) return own;
    const under = ground(element.parentElement);
    return under && over(own, under);
  };
  const light = colour => {
    const [red, green, blue] = colour.slice(0, 3).map(value => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(element)) continue;
    seen.add(element);
    if (!element.checkVisibility() || element.closest('script, style, :disabled, svg')) continue;
    const under = ground(element);
    if (!under) continue;
    const text = over(channels(getComputedStyle(element).color), under);
    const [high, low] = [light(text), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < least)
      flaws.push(`contrast ${ratio.toFixed(1)} of "${element.textContent.trim().slice(0, 40)}"`);
  }
  return {flaws, links: [...new Set(links)]};
}
"""
