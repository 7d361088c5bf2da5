'use strict';
// Fills the page from REPORT (data.js). Photographs are numbered by score, the highest first.

const shots = REPORT.photographs;
const count = shots.name.length;
const SVG = 'http://www.w3.org/2000/svg';
const HEAT = {positive: [240, 100, 0], negative: [30, 110, 220], strongest: 190};
const BINS = 60;
const MISSES = 10;  // shown on each side
const MARGIN = 6;  // rows drawn above and below those in view
const PRINTED = 200;  // rows on paper
let threshold = REPORT.threshold ?? 0.5;
let selection = [];  // numbers of the photographs in the list, in its order
let opened = null;  // place in the selection of the photograph in the panel

const $ = id => document.getElementById(id);
const number = value => value.toLocaleString('en');
const percent = share => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const called = i => shots.score[i] > threshold;
const decision = i => called(i) ? 'hybrid' : 'non-hybrid';
const truth = i => shots.label?.[i] ?? null;
const picture = i => `photographs/${i}.jpg`;

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith('svg:')
    ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- the threshold

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
  drawMap();
}

// ---- charts

function chart(width, height, label) {
  const attributes = {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label};
  return make('svg:svg', attributes);
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

// ROC and precision-recall, in the unit square.
function drawCurve(id, title, points, axes, area) {
  const svg = chart(300, 300, `${title}, area ${area.toFixed(3)}`);
  const at = ([x, y]) => `${(40 + 250 * x).toFixed(1)} ${(260 - 250 * y).toFixed(1)}`;
  svg.append(make('svg:path', {d: 'M40 10V260H290', class: 'axis'}),
    make('svg:path', {d: `M${points.map(at).join('L')}`, class: 'curve'}),
    make('svg:circle', {r: 5, class: 'mark', id: `${id}_mark`}));
  for (const value of [0, 0.5, 1]) {
    svg.append(make('svg:text', {x: 40 + 250 * value, y: 276, 'text-anchor': 'middle'}, value),
      make('svg:text', {x: 34, y: 264 - 250 * value, 'text-anchor': 'end'}, value));
  }
  svg.append(make('svg:text', {x: 165, y: 294, 'text-anchor': 'middle'}, axes[0]),
    make('svg:text', {transform: 'translate(12 135) rotate(-90)', 'text-anchor': 'middle'}, axes[1]));
  $(id).replaceChildren(make('h3', {}, `${title} (area ${area.toFixed(3)})`), svg);
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

function table(heads, rows) {
  const cell = value => value instanceof Node ? make('td', {}, value)
    : make('td', typeof value === 'number' || /^[\d.]+$/.test(value) ? {class: 'number'} : {}, value);
  return make('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': heads[0]},
    make('table', {},
      make('thead', {}, make('tr', {}, ...heads.map(head => make('th', {scope: 'col'}, head)))),
      make('tbody', {}, ...rows.map(row => make('tr', {}, ...row.map(cell))))));
}

function drawEvaluation() {
  const {official, crosses, roc, precision_recall: curve, roc_auc: area, pr_auc: mean} = REPORT.reference;
  $('official').append(make('h3', {}, 'Official scores'),
    table(['number', 'value', 'one hybrid moves it by up to'],
      official.map(([name, value, moves]) => [name, value.toFixed(3), moves.toFixed(3)])));
  drawCurve('roc', 'ROC', roc, ['share of the non-hybrids called', 'recall'], area);
  drawCurve('precision_recall', 'Precision and recall', curve, ['recall', 'precision'], mean);
  $('crosses').append(crosses.length ? table(
    ['cross', 'kind', 'found', 'of', 'recall', '95 % interval', ''],
    crosses.map(([name, kind, found, of, low, high]) => [name, kind, found, of,
      (found / of).toFixed(2), `${Math.max(0, low).toFixed(2)} to ${high.toFixed(2)}`,
      intervalBar(found / of, low, high)]))
    : make('p', {}, 'The reference does not say what its images show.'));
}

function intervalBar(value, low, high) {
  const svg = chart(160, 16, `from ${low.toFixed(2)} to ${high.toFixed(2)}`);
  svg.append(make('svg:path', {d: 'M2 8H158', class: 'axis'}),
    make('svg:rect', {x: 2 + 156 * low, y: 5, width: 156 * (high - low), height: 6, class: 'hybrid', opacity: 0.5}),
    make('svg:circle', {cx: 2 + 156 * value, cy: 8, r: 4, class: 'hybrid'}));
  return svg;
}

function drawMisses() {
  const worst = {missed: [], false: []};
  for (let i = 0; i < count && worst.false.length < MISSES; i++)
    if (truth(i) === 0 && called(i)) worst.false.push(i);
  for (let i = count - 1; i >= 0 && worst.missed.length < MISSES; i--)
    if (truth(i) === 1 && !called(i)) worst.missed.push(i);
  for (const [id, rows] of Object.entries(worst)) {
    $(id).replaceChildren(...rows.map(i => {
      const button = make('button', {type: 'button'}, make('img', {src: picture(i), alt: '', loading: 'lazy'}),
        make('b', {}, shots.score[i].toFixed(4)), shots.shows[i] ? `${shots.shows[i]}: ` : '', shots.name[i]);
      button.onclick = () => open(i, rows);
      return button;
    }), ...(rows.length ? [] : [make('p', {}, 'None at this threshold.')]));
  }
}

// ---- the list: rows in view alone are in the page

const rows = new Map();  // by number of the photograph
const collator = new Intl.Collator('en', {numeric: true});

function sorts() {
  const found = {
    'score, highest first': (a, b) => a - b,
    'score, lowest first': (a, b) => b - a,
    'name': (a, b) => collator.compare(shots.name[a], shots.name[b]),
  };
  for (const member of REPORT.memberNames)
    found[`${member}, highest first`] = (a, b) => shots.members[member][b] - shots.members[member][a];
  if (REPORT.memberNames.includes('subspecies')) {
    found['parents'] = (a, b) => collator.compare(shots.parentsText[a], shots.parentsText[b]) || a - b;
    found['certainty of the parents'] = (a, b) => shots.parents[b][3] - shots.parents[a][3];
  }
  if (REPORT.maps.some(map => map)) {
    const outside = i => REPORT.maps[i]?.outside ?? -1;
    found['evidence outside the specimen'] = (a, b) => outside(b) - outside(a);
  }
  return found;
}
const SORTS = sorts();

function choose() {
  const wanted = $('name').value.trim().toLowerCase(), call = $('decision').value;
  const pair = $('parents')?.value ?? '', fact = $('truth')?.value ?? '';
  const bound = (id, otherwise) => $(id).value === '' ? otherwise : +$(id).value;
  const low = bound('lowest', -Infinity), high = bound('highest', Infinity);
  selection = [];
  for (let i = 0; i < count; i++) {
    if (shots.score[i] < low || shots.score[i] > high) continue;
    if (wanted && !shots.name[i].toLowerCase().includes(wanted)) continue;
    if (call && called(i) !== (call === '1')) continue;
    if (pair && shots.parentsText[i] !== pair) continue;
    if (fact === 'wrong' && (truth(i) === null || called(i) === (truth(i) === 1))) continue;
    if (fact && fact !== 'wrong' && truth(i) !== +fact) continue;
    selection.push(i);
  }
  if ($('sort').selectedIndex > 0) selection.sort(SORTS[$('sort').value]);
  $('selected').textContent = selection.length === count ? `All ${number(count)} photographs`
    : `${number(selection.length)} of ${number(count)} photographs`;
  drawRows(true);
}

function rowHeight() {
  return parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--row'));
}

function drawRows(again = false, most = 0) {
  const list = $('list'), tall = rowHeight();
  list.style.height = `${tall * selection.length}px`;
  const above = -list.getBoundingClientRect().top;
  const first = most ? 0 : Math.max(0, Math.floor(above / tall) - MARGIN);
  const last = most || Math.min(selection.length, Math.ceil((above + innerHeight) / tall) + MARGIN);
  const shown = selection.slice(first, Math.max(first, last));
  const wanted = new Set(shown);
  for (const [i, row] of rows) if (!wanted.has(i)) { row.remove(); rows.delete(i); }
  let next = list.firstChild;
  shown.forEach((i, place) => {
    const fresh = !rows.has(i);
    if (fresh) rows.set(i, makeRow(i));
    const row = rows.get(i);
    if (fresh || again) {
      row.style.transform = `translateY(${(first + place) * tall}px)`;
      row.setAttribute('aria-posinset', first + place + 1);
      row.setAttribute('aria-setsize', selection.length);
      row.firstChild.classList.toggle('called', called(i));
      const call = row.querySelector('.score small');
      call.textContent = decision(i);
      call.className = called(i) ? 'hybrid' : 'other';
    }
    if (row === next) next = next.nextSibling;
    else list.insertBefore(row, next);
  });
}

function makeRow(i) {
  const fit = make('span', {class: 'fit'}, make('img', {src: picture(i), alt: '', loading: 'lazy'}));
  if ($('heat')?.checked && REPORT.maps[i]) fit.append(heatCanvas(REPORT.maps[i]));
  const score = make('span', {class: 'score'}, shots.score[i].toFixed(4), make('small', {}, ''));
  const name = make('span', {class: 'name'}, shots.name[i]);
  if (truth(i) !== null)
    name.append(make('small', {}, `is: ${shots.shows[i] || (truth(i) ? 'hybrid' : 'non-hybrid')}`));
  const outside = REPORT.maps[i]?.outside ?? 0;
  if (outside > REPORT.warnAbove)
    name.append(make('small', {class: 'look'}, `look twice: ${percent(outside)} outside the specimen`));
  const button = make('button', {type: 'button'},
    make('span', {class: 'rank', 'aria-label': `rank ${i + 1}`}, number(i + 1)),
    make('span', {class: 'picture'}, fit), name, score, memberBars(i), parentage(i));
  button.onclick = () => open(i, selection);
  return make('div', {class: 'row', role: 'listitem', 'data-number': i}, button);
}

function memberBars(i) {
  const bars = REPORT.memberNames.flatMap(member => {
    const value = shots.members[member][i];
    const bar = make('i');
    bar.style.width = `${100 * value}%`;
    return [make('span', {}, member), make('span', {class: 'measure', 'aria-hidden': 'true'}, bar),
      make('span', {}, value.toFixed(3))];
  });
  return make('span', {class: 'members'}, ...bars);
}

function parentage(i) {
  const parents = shots.parents[i];
  if (!parents) return make('span', {class: 'parentage'});
  const [first, second, , certainty] = parents;
  const text = shots.parentsText[i];
  return make('span', {class: 'parentage'}, text === 'unknown' ? 'parents unknown' : text,
    make('small', {}, text === 'unknown' ? `perhaps ${first} and ${second}` : `certainty ${certainty.toFixed(2)}`));
}

function moveFocus(event) {
  const row = document.activeElement.closest?.('.row');
  const steps = {ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -count, End: count};
  if (!row || !(event.key in steps)) return;
  event.preventDefault();
  const place = selection.indexOf(+row.dataset.number) + steps[event.key];
  showPlace(Math.min(selection.length - 1, Math.max(0, place)));
}

function showPlace(place) {
  const tall = rowHeight(), top = scrollY + $('list').getBoundingClientRect().top + place * tall;
  const covered = $('bar').offsetHeight + 8;
  if (top < scrollY + covered) scrollTo(0, top - covered);
  else if (top + tall > scrollY + innerHeight) scrollTo(0, top + tall - innerHeight);
  drawRows();
  rows.get(selection[place])?.firstChild.focus({preventScroll: true});
}

// ---- one photograph

function heatValues(map) {
  return Int8Array.from(atob(map.values), letter => letter.charCodeAt(0));
}

// A pixel a patch; the browser blends them where it stretches the canvas.
function heatCanvas(map) {
  const canvas = make('canvas', {width: map.columns, height: map.rows, 'aria-hidden': 'true'});
  const context = canvas.getContext('2d');
  const image = context.createImageData(map.columns, map.rows);
  heatValues(map).forEach((value, patch) => {
    const colour = value > 0 ? HEAT.positive : HEAT.negative;
    image.data.set([...colour, HEAT.strongest * Math.abs(value) / REPORT.drawn], 4 * patch);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

let panelRows = [];

function open(i, among) {
  panelRows = among;
  opened = among.indexOf(i);
  $('panel_title').textContent = shots.name[i];
  $('panel_body').replaceChildren(make('div', {}, ...pictureParts(i)), make('div', {}, ...factParts(i)));
  $('previous').disabled = opened <= 0;
  $('next').disabled = opened >= among.length - 1;
  if (!$('panel').open) $('panel').showModal();
  $('panel').scrollTop = 0;
}

function go(step) {
  const i = panelRows[opened + step];
  if (i !== undefined) open(i, panelRows);
}

function pictureParts(i) {
  const map = REPORT.maps[i];
  const frame = make('span', {class: 'large fit'}, make('img', {src: picture(i), alt: shots.name[i]}));
  const parts = [frame];
  if (map) {
    const canvas = heatCanvas(map);
    const box = make('input', {type: 'checkbox', id: 'panel_heat'});
    box.checked = $('heat').checked;
    canvas.hidden = !box.checked;
    frame.append(canvas);
    box.onchange = () => { $('heat').checked = box.checked; canvas.hidden = !box.checked; redrawHeat(); };
    parts.push(make('label', {class: 'check'}, box, 'Heat map: where the evidence lies'), heatLegend(map));
  } else if (REPORT.memberNames.length) {
    parts.push(make('p', {class: 'note'}, 'Heat maps are kept for the photographs with the highest scores '
      + '(--all_heat_maps: for all).'));
  }
  parts.push(make('p', {}, make('a', {href: shots.link[i], target: '_blank', rel: 'noopener'}, 'Open the file')));
  return parts;
}

function heatLegend(map) {
  const peak = map.peak.toPrecision(2), scale = map.peak / REPORT.drawn;
  const values = heatValues(map);
  const sum = sign => values.reduce((total, value) => total + (sign * value > 0 ? value : 0), 0) * scale;
  const parts = [make('div', {class: 'scale', 'aria-hidden': 'true'}),
    make('div', {class: 'ends'}, make('span', {}, `\u2212${peak}: against`), make('span', {}, '0'),
      make('span', {}, `+${peak}: for a hybrid`)),
    make('p', {class: 'note'}, `Log-odds that a patch adds. All patches: ${sum(1).toFixed(2)} for, `
      + `${Math.abs(sum(-1)).toFixed(2)} against.`)];
  if (map.outside === null) {
    parts.push(make('p', {class: 'note'}, 'No specimen is found here with confidence, so nobody knows '
      + 'how much evidence lies outside it.'));
  } else {
    const text = `Evidence outside the specimen: ${percent(map.outside)}.`;
    parts.push(map.outside > REPORT.warnAbove
      ? make('p', {class: 'warning'}, make('b', {}, 'Look twice. '), text,
        ' More than a fifth comes from beside the wings: paper, ruler or label may speak here.')
      : make('p', {}, text));
  }
  return make('div', {}, ...parts);
}

function factParts(i) {
  const parts = [make('h3', {}, 'Score ', make('b', {}, shots.score[i].toFixed(4)), ': ',
    make('b', {class: called(i) ? 'hybrid' : 'other'}, decision(i))),
  make('p', {class: 'note'}, `Rank ${number(i + 1)} of ${number(count)}; a hybrid scores above ${+threshold.toFixed(4)}.`)];
  if (truth(i) !== null) parts.push(make('p', {}, 'By the reference: ',
    make('b', {}, truth(i) ? 'hybrid' : 'non-hybrid'), shots.shows[i] ? `, ${shots.shows[i]}` : ''));
  if (REPORT.memberNames.length)
    parts.push(make('h3', {}, 'What each member says'), memberBars(i));
  const parents = shots.parents[i];
  if (parents) {
    const [first, second, share, certainty] = parents;
    parts.push(make('h3', {}, 'If it is a hybrid'), make('p', {},
      shots.parentsText[i] === 'unknown' ? 'Its parents are unknown; likeliest are ' : 'Its parents are ',
      make('b', {}, `${first} and ${second}`), `, certainty ${certainty.toFixed(2)}.`));
    parts.push(make('div', {class: 'pair'}, similar(i, 0, first, share), similar(i, 1, second, 1 - share)));
    if (REPORT.noTraining) parts.push(make('p', {class: 'note'}, REPORT.noTraining));
  }
  return parts;
}

function similar(i, side, name, share) {
  const place = REPORT.similar?.[i]?.[side] ?? null;
  const caption = make('figcaption', {}, make('b', {}, name), ` (share ${percent(share)})`);
  if (place === null) return make('figure', {}, caption);
  caption.append(`; most like it: ${REPORT.training.name[place]}`);
  return make('figure', {}, make('img', {src: `training/${place}.jpg`, alt: `training photograph of ${name}`}), caption);
}

function redrawHeat() {
  for (const row of rows.values()) row.remove();
  rows.clear();
  drawRows(true);
}

// ---- CSV

function download() {
  const heads = ['filename', 'score', ...REPORT.memberNames, 'threshold', 'decision'];
  if (REPORT.memberNames.includes('subspecies'))
    heads.push('parent_1', 'share_1', 'parent_2', 'share_2', 'parents', 'certainty');
  if (REPORT.reference) heads.push('hybrid_stat');
  const quote = value => /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value;
  const lines = selection.map(i => {
    const cells = [shots.name[i], shots.score[i], ...REPORT.memberNames.map(member => shots.members[member][i]),
      threshold, decision(i)];
    if (REPORT.memberNames.includes('subspecies')) {
      const [first, second, share, certainty] = shots.parents[i];
      cells.push(first, share, second, +(1 - share).toFixed(2), shots.parentsText[i], certainty);
    }
    if (REPORT.reference) cells.push(truth(i) ?? '');
    return cells.map(quote).join(',');
  });
  const blob = new Blob([[heads.join(','), ...lines].join('\n') + '\n'], {type: 'text/csv'});
  const link = make('a', {href: URL.createObjectURL(blob), download: 'selection.csv'});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- the map of features

const layers = {photographs: true, training: true, painted: true};
let pointed = null;  // [kind, number] under the pointer or the keys

function mapPoints() {
  const {training, photographs} = REPORT.featureMap, points = [];
  training.forEach(([x, y], i) => {
    const kind = REPORT.training.painted[i] ? 'painted' : 'training';
    if (x >= 0 && layers[kind]) points.push([kind, i, x, y]);
  });
  if (layers.photographs) photographs.forEach(([x, y], i) => { if (x >= 0) points.push(['photographs', i, x, y]); });
  return points;
}

const subspecies = [...new Set((REPORT.training?.group ?? []).filter((_, i) => !REPORT.training.hybrid[i]))]
  .sort(collator.compare);

function colourOf(i) {
  const place = subspecies.indexOf(REPORT.training.group[i]);
  return REPORT.training.hybrid[i] || place < 0 ? null : subspeciesColour(place);
}

function subspeciesColour(place) {
  return `hsl(${Math.round(360 * place / subspecies.length + 20)} 70% ${place % 2 ? 62 : 44}%)`;
}

function mapScale() {
  const canvas = $('map_canvas'), width = canvas.clientWidth, height = canvas.clientHeight, rim = 16;
  const places = [...REPORT.featureMap.training, ...REPORT.featureMap.photographs].filter(([x]) => x >= 0);
  const range = axis => places.reduce(([low, high], place) =>
    [Math.min(low, place[axis]), Math.max(high, place[axis])], [1, 0]);
  const [left, right] = range(0), [low, high] = range(1);
  const grow = Math.min((width - 2 * rim) / Math.max(right - left, 1e-6), (height - 2 * rim) / Math.max(high - low, 1e-6));
  return (x, y) => [width / 2 + grow * (x - (left + right) / 2), height / 2 - grow * (y - (low + high) / 2)];
}

function drawMap() {
  const canvas = $('map_canvas');
  if (!canvas || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const pen = canvas.getContext('2d'), place = mapScale();
  const colours = Object.fromEntries(['ink', 'faint', 'hybrid', 'other', 'card'].map(name => [name, style.getPropertyValue(`--${name}`)]));
  pen.scale(ratio, ratio);
  for (const [kind, i, x, y] of mapPoints()) {
    const [left, top] = place(x, y);
    pen.beginPath();
    if (kind === 'photographs') {
      pen.arc(left, top, 3.5, 0, 7);
      pen.fillStyle = called(i) ? colours.hybrid : colours.card;
      pen.strokeStyle = colours.ink;
      pen.fill();
    } else if (kind === 'painted') {
      pen.rect(left - 2.5, top - 2.5, 5, 5);
      pen.strokeStyle = colourOf(i) ?? colours.faint;
    } else {
      if (colourOf(i)) pen.arc(left, top, 3, 0, 7);
      else { pen.moveTo(left, top - 4); pen.lineTo(left + 4, top + 3); pen.lineTo(left - 4, top + 3); pen.closePath(); }
      pen.fillStyle = colourOf(i) ?? colours.faint;
      pen.strokeStyle = pen.fillStyle;
      pen.fill();
    }
    pen.stroke();
  }
  if (pointed) {
    const [left, top] = place(...REPORT.featureMap[pointed[0] === 'photographs' ? 'photographs' : 'training'][pointed[1]]);
    pen.beginPath();
    pen.arc(left, top, 9, 0, 7);
    pen.lineWidth = 2.5;
    pen.strokeStyle = colours.ink;
    pen.stroke();
  }
}

function nearest(event) {
  const box = $('map_canvas').getBoundingClientRect(), place = mapScale();
  let best = null, least = 14 * 14;
  for (const [kind, i, x, y] of mapPoints()) {
    const [left, top] = place(x, y);
    const squared = (left - event.clientX + box.left) ** 2 + (top - event.clientY + box.top) ** 2;
    if (squared <= least) { least = squared; best = [kind, i]; }
  }
  return best;
}

function point(at) {
  if (String(at) === String(pointed)) return;
  pointed = at;
  const tip = $('map_tip');
  tip.hidden = !at;
  if (at) {
    const [kind, i] = at, own = kind === 'photographs';
    const [x, y] = REPORT.featureMap[own ? 'photographs' : 'training'][i];
    const [left, top] = mapScale()(x, y), canvas = $('map_canvas');
    const source = own ? picture(i) : `training/${i}.jpg`;
    tip.replaceChildren(make('img', {src: source, alt: ''}), make('b', {}, own ? shots.name[i] : REPORT.training.name[i]), make('br'),
      own ? `score ${shots.score[i].toFixed(4)}, ${decision(i)}`
        : `${kind === 'painted' ? 'painted, ' : ''}${REPORT.training.group[i]}`);
    tip.style.left = `${left > canvas.clientWidth / 2 ? Math.max(0, left - 190) : left + 14}px`;
    tip.style.top = top > canvas.clientHeight / 2 ? '' : `${top + 14}px`;
    tip.style.bottom = top > canvas.clientHeight / 2 ? `${canvas.clientHeight - top + 14}px` : '';
  }
  drawMap();
}

function drawLegend() {
  const names = {photographs: 'scored photographs (filled: called hybrid)', training: 'training photographs (triangle: hybrid)',
    painted: 'painted images (squares)'};
  const has = {photographs: true, training: REPORT.training, painted: REPORT.training?.painted.includes(1)};
  for (const [layer, text] of Object.entries(names)) {
    if (!has[layer]) continue;
    const button = make('button', {type: 'button', 'aria-pressed': 'true'}, text);
    button.onclick = () => {
      layers[layer] = !layers[layer];
      button.setAttribute('aria-pressed', layers[layer]);
      point(null);
      drawMap();
    };
    $('legend').append(button);
  }
  subspecies.forEach((name, place) => {
    const swatch = make('span', {class: 'swatch', 'aria-hidden': 'true'});
    swatch.style.background = subspeciesColour(place);
    $('legend').append(make('span', {}, swatch, name));
  });
  const {how, shares} = REPORT.featureMap;
  if (how === 'PCA') $('map_frame').append(make('p', {class: 'note'}, `Principal axes 1 and 2, ${percent(shares[0])} and ${percent(shares[1])} of the variance.`));
}

function listenToMap() {
  const canvas = $('map_canvas');
  canvas.onpointermove = event => point(nearest(event));
  canvas.onpointerleave = () => point(null);
  canvas.onclick = event => {
    const at = nearest(event);
    if (at?.[0] === 'photographs') open(at[1], selection.includes(at[1]) ? selection : [at[1]]);
  };
  canvas.onkeydown = event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    const now = pointed?.[0] === 'photographs' ? pointed[1] : -1;
    if (step) { event.preventDefault(); point(['photographs', Math.min(count - 1, Math.max(0, now + step))]); }
    if (event.key === 'Enter' && now >= 0) open(now, [now]);
    if (event.key === 'Escape') point(null);
  };
  canvas.onblur = () => point(null);
  matchMedia('(prefers-color-scheme: dark)').onchange = drawMap;
}

// ---- start

function start() {
  for (const text of Object.keys(SORTS)) $('sort').append(make('option', {value: text}, text));
  if ($('parents')) {
    const pairs = [...new Set(shots.parentsText)].filter(text => text).sort(collator.compare);
    $('parents').append(...pairs.map(text => make('option', {value: text}, text)));
  }
  drawHistogram();
  if (REPORT.reference) drawEvaluation();
  if (REPORT.featureMap) { drawLegend(); listenToMap(); }
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
  $('download').onclick = download;
  addEventListener('scroll', () => onceAFrame(() => drawRows()), {passive: true});
  addEventListener('resize', () => onceAFrame(() => { drawRows(true); drawMap(); }));
  addEventListener('beforeprint', () => drawRows(true, Math.min(PRINTED, selection.length)));
  addEventListener('afterprint', () => drawRows(true));
  $('list').onkeydown = moveFocus;
  $('previous').onclick = () => go(-1);
  $('next').onclick = () => go(1);
  $('close').onclick = () => $('panel').close();
  $('panel').onclick = event => { if (event.target === $('panel')) $('panel').close(); };
  $('panel').onkeydown = event => {
    if (event.key === 'ArrowLeft') go(-1);
    if (event.key === 'ArrowRight') go(1);
  };
}

start();
