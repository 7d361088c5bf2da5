'use strict';
// The line between hybrids and non-hybrids: its slider, what it counts, the histogram.

const BINS = 60;

function confusion() {
  const table = {hybrids: 0, others: 0, found: 0, false: 0, called: 0};
  for (let i = 0; i < count; i++) {
    if (called(i)) table.called++;
    if (truth(i) === 1) { table.hybrids++; if (called(i)) table.found++; }
    if (truth(i) === 0) { table.others++; if (called(i)) table.false++; }
  }
  return table;
}

function setThreshold(value) {
  threshold = Math.min(1, Math.max(0, value));
  $('threshold').value = threshold;
  if (document.activeElement !== $('exact')) $('exact').value = +threshold.toFixed(4);
  const table = confusion();
  const parts = [make('b', {class: 'hybrid'}, `${number(table.called)} called hybrid`), ', ',
    make('b', {class: 'other'}, `${number(count - table.called)} non-hybrid`)];
  if (table.hybrids) {
    const precision = table.called && table.found + table.false
      ? percent(table.found / (table.found + table.false)) : 'none called';
    parts.push('. Recall ', make('b', {}, percent(table.found / table.hybrids)),
      ` (${table.found} of ${table.hybrids}), precision `, make('b', {}, precision),
      table.others ? `; ${percent(1 - table.false / table.others)} of the non-hybrids stay below` : '');
  }
  $('counts').replaceChildren(...parts);
  moveMarks(table);
  if ($('decision').value || $('truth')?.value === 'wrong') choose();
  else drawRows(true);
  if (REPORT.reference) drawMisses();
}

function drawHistogram() {
  const width = 1000, height = 110, floor = height - 14;
  const bins = {other: new Array(BINS).fill(0), hybrid: new Array(BINS).fill(0)};
  for (let i = 0; i < count; i++) {
    const bin = Math.min(BINS - 1, Math.floor(shots.score[i] * BINS));
    bins[truth(i) === 1 ? 'hybrid' : 'other'][bin]++;
  }
  const most = Math.max(...bins.other, ...bins.hybrid);
  const svg = chart(width, height, 'How many photographs have which score');
  svg.setAttribute('preserveAspectRatio', 'none');
  const step = width / BINS;
  for (const [kind, counts] of Object.entries(bins)) {
    counts.forEach((value, bin) => {
      if (!value) return;
      // Few photographs would not be seen among many: heights are square roots.
      const tall = Math.max(2, floor * Math.sqrt(value / most));
      const half = REPORT.reference ? step / 2 - 1 : step - 2;
      const x = bin * step + (REPORT.reference && kind === 'hybrid' ? step / 2 : 0);
      svg.append(make('svg:rect', {x, y: floor - tall, width: half, height: tall,
        class: REPORT.reference ? kind : 'bin', 'data-bin': bin}));
    });
  }
  svg.append(make('svg:path', {d: `M0 ${floor}H${width}`, class: 'axis'}),
    make('svg:path', {d: `M0 0V${height}`, class: 'mark', id: 'cut'}));
  $('histogram').replaceChildren(svg, make('p', {class: 'note'}, REPORT.reference
    ? 'Scores from 0 to 1 of hybrids (orange) and non-hybrids (blue), by the reference. '
    : 'Scores from 0 to 1, orange where they are called hybrid. ',
    'Heights grow as the square root of the count.'));
}

function moveMarks(table) {
  const cut = 1000 * threshold;
  $('cut').setAttribute('transform', `translate(${Math.min(999, Math.max(1, cut))} 0)`);
  for (const bar of document.querySelectorAll('#histogram .bin')) {
    bar.setAttribute('class', (+bar.dataset.bin + 0.5) / BINS > threshold ? 'bin hybrid' : 'bin other');
  }
  if (!REPORT.reference || !table.hybrids || !table.others) return;
  const recall = table.found / table.hybrids, positives = table.found + table.false;
  const put = (id, x, y) => {
    $(id).setAttribute('cx', 40 + 250 * x);
    $(id).setAttribute('cy', 260 - 250 * y);
  };
  put('roc_mark', table.false / table.others, recall);
  put('precision_recall_mark', recall, positives ? table.found / positives : 1);
}
