'use strict';
// What a reference says of the scores: official numbers, curves, recall by cross, misses.

const MISSES = 10;  // shown on each side

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

function table(label, heads, rows) {
  const cell = value => value instanceof Node ? make('td', {}, value)
    : make('td', typeof value === 'number' || /^[\d.]+$/.test(value) ? {class: 'number'} : {}, value);
  return make('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label},
    make('table', {},
      make('thead', {}, make('tr', {}, ...heads.map(head => make('th', {scope: 'col'}, head)))),
      make('tbody', {}, ...rows.map(row => make('tr', {}, ...row.map(cell))))));
}

function drawEvaluation() {
  const {official, crosses, roc, precision_recall: curve, roc_auc: area, pr_auc: mean} = REPORT.reference;
  $('official').append(make('h3', {}, 'Official scores'),
    table('Official scores', ['number', 'value'],
      official.map(([name, value]) => [name, value.toFixed(3)])));
  drawCurve('roc', 'ROC', roc, ['share of the non-hybrids called', 'recall'], area);
  drawCurve('precision_recall', 'Precision and recall', curve, ['recall', 'precision'], mean);
  $('crosses').append(crosses.length ? table('Hybrids found, by cross',
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
      const button = make('button', {type: 'button'}, make('img', {src: picture(i), alt: ''}),
        make('b', {}, shots.score[i].toFixed(4)), shots.shows[i] ? `${shots.shows[i]}: ` : '', shots.name[i]);
      button.onclick = () => open(i, rows);
      return button;
    }), ...(rows.length ? [] : [make('p', {}, 'None at this threshold.')]));
  }
}
