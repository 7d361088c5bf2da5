"""How the page looks and what its one script does."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --raised: #f5f6f8; --ink: #1c2330;
  --faint: #566072; --line: #d3d8e0; --painted: #b4421c; --photo: #1f6f9c; --other: #6b5a9e;
  --link: #175b99; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --raised: #1d222a;
  --ink: #e6e9ee; --faint: #a4adbb; --line: #39414e; --painted: #f08a5d; --photo: #6bb8e3;
  --other: #b6a5ea; --link: #8cc2f5; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.5rem; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 72rem; margin: 0 auto; padding: 0 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.6rem 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; border-top: 1px solid var(--line);
  padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p, ul { max-width: 46rem; } p { margin: .5rem 0; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; z-index: 2;
  background: var(--ground); padding: .4rem .8rem; }
nav { position: sticky; top: 0; z-index: 1; background: var(--ground); padding: .55rem 0;
  border-bottom: 1px solid var(--line); display: flex; gap: .2rem 1.1rem; overflow-x: auto;
  white-space: nowrap; font-size: .92rem; }
.faint, figcaption, small { color: var(--faint); } small { font-size: .83rem; }
.painted-ink { color: var(--painted); font-weight: 600; }
.photo-ink { color: var(--photo); font-weight: 600; }
.other-ink { color: var(--other); font-weight: 600; }
.note { background: var(--raised); border-left: 4px solid var(--painted); padding: .6rem 1rem;
  margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0;
  border-bottom: 1px solid var(--line); }
.number { text-align: right; } td.number { white-space: nowrap; }
thead th { vertical-align: bottom; }
.short td strong { font-size: 1.15rem; } .short td small { display: block; }
.short th small { display: block; font-weight: 400; }
.short { width: 100%; } .short th:first-child { width: 30%; }
.wide { overflow-x: auto; max-width: 100%; }
.wide table { overflow-wrap: normal; }
.wide th:first-child { position: sticky; left: 0; background: var(--ground); white-space: nowrap; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; text-align: inherit; cursor: pointer; }
th button::after { content: " \\2195"; color: var(--faint); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 1rem 2rem; margin: 1rem 0; }
.plots figure { margin: 0; max-width: 34rem; }
.plot { width: 100%; height: auto; display: block; font: 13px system-ui, sans-serif; }
.plot text { fill: var(--faint); } .plot .axis { stroke: var(--faint); }
.plot .guide { stroke: var(--line); stroke-width: 2; }
.plot .mark { stroke: var(--ink); stroke-dasharray: 4 3; }
.plot .area { fill-opacity: .28; stroke-width: 2; }
.plot .bar { stroke-width: 5; stroke-opacity: .45; stroke-linecap: round; }
.plot .dot { fill-opacity: .75; }
.plot .painted { fill: var(--painted); stroke: var(--painted); }
.plot .photo { fill: var(--photo); stroke: var(--photo); }
.plot .other { fill: var(--other); stroke: var(--other); }
.plot circle.dot { stroke: none; }
.plot circle.dot.other { fill-opacity: .15; stroke: var(--other); stroke-width: 1.5; }
.examples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr));
  gap: 1rem; margin: .6rem 0 1.4rem; }
.example { margin: 0; background: var(--raised); border: 1px solid var(--line); padding: .7rem;
  break-inside: avoid; border-radius: 6px; }
.panels { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fit, minmax(4.4rem, 1fr)); }
.panels span { display: block; font-size: .78rem; line-height: 1.25; color: var(--faint); }
.panels img { display: block; width: 100%; height: auto; background: #fff; border-radius: 3px; }
.example figcaption { margin-top: .45rem; font-size: .88rem; }
.example figcaption strong { color: var(--ink); }
@media (max-width: 40rem) {
  .short thead { display: none; } .short tr { display: block; padding: .8rem 0;
    border-bottom: 1px solid var(--line); }
  .short th, .short td { display: block; border: 0; padding: .2rem 0; }
  .short th:first-child { width: auto; }
  .short td::before { content: attr(data-set) ": "; color: var(--faint); }
}
@media print {
  body { max-width: none; font-size: 11pt; } nav, .skip { display: none; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .wide { overflow: visible; } .wide table { font-size: 8pt; }
  th button::after { content: none !important; }
}
"""

# Tables are whole without it; it sorts them by the column whose heading is pressed.
SCRIPT = """
for (const button of document.querySelectorAll('th button')) {
  button.onclick = () => {
    const head = button.closest('th'), table = head.closest('table'), body = table.tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute('aria-sort') !== 'descending';
    for (const other of table.querySelectorAll('th[aria-sort]')) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const key = row => row.cells[column].dataset.value;
    const known = [...body.rows].filter(row => key(row) !== '');
    const unknown = [...body.rows].filter(row => key(row) === '');
    known.sort((a, b) => (down ? -1 : 1) *
      key(a).localeCompare(key(b), undefined, {numeric: true}));
    if (head.dataset.numbers) known.sort((a, b) => (down ? -1 : 1) * (key(a) - key(b)));
    body.append(...known, ...unknown);
  };
}
"""
