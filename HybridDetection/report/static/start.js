'use strict';
// Fills the page and listens to it.

function start() {
  for (const text of Object.keys(SORTS)) $('sort').append(make('option', {value: text}, text));
  if ($('parents')) {
    const pairs = [...new Set(shots.parentsText)].filter(text => text).sort(collator.compare);
    $('parents').append(...pairs.map(text => make('option', {value: text}, text)));
  }
  const names = shots.parents.flatMap(pair => pair ? [pair[0], pair[1]] : []);
  const known = [...new Set(names), ...new Set(shots.parentsText)].filter(text => text && text !== 'unknown');
  $('specimens').append(...known.sort(collator.compare).map(value => make('option', {value})));
  showSaid();
  drawHistogram();
  if (REPORT.reference) drawEvaluation();
  choose();
  setThreshold(threshold);

  let waiting = false;
  const onceAFrame = work => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
  $('threshold').oninput = () => setThreshold(+$('threshold').value);
  $('exact').oninput = () => { if ($('exact').value !== '') setThreshold(+$('exact').value); };
  $('filters').oninput = event => event.target.id === 'heat' ? redrawHeat() : choose();
  $('filters').onsubmit = event => event.preventDefault();
  $('filters').onreset = () => setTimeout(() => { choose(); redrawHeat(); });
  $('download').onclick = () => download(selection, 'selection.csv');
  $('save').onclick = () => download(showSaid(), 'corrections.csv');
  for (const button of document.querySelectorAll('#person_says button')) button.onclick = () => press(button.value);
  $('specimen').onchange = () => {
    const i = panelRows[opened];
    say(i, person(i).word, $('specimen').value.trim());
  };
  addEventListener('scroll', () => onceAFrame(() => drawRows()), {passive: true});
  addEventListener('resize', () => onceAFrame(() => drawRows(true)));
  addEventListener('beforeprint', beginPrint);
  addEventListener('afterprint', () => drawRows(true));
  $('list').onkeydown = moveFocus;
  $('previous').onclick = () => go(-1);
  $('next').onclick = () => go(1);
  $('close').onclick = () => $('panel').close();
  $('panel').onclose = closed;
  $('panel').onclick = event => { if (event.target === $('panel')) $('panel').close(); };
  $('panel').onkeydown = event => {
    if (event.target === $('specimen') || event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.toLowerCase();
    if (key in KEYS) press(KEYS[key]);
    if (event.key === 'ArrowLeft') go(-1);
    if (event.key === 'ArrowRight') go(1);
  };
}

start();
