'use strict';
// The map of features.

const FEW = 800;  // scored photographs, beyond which their points shrink
const layers = {photographs: true, training: true, painted: true};
let pointed = null;  // [kind, number] under the pointer or the keys

// Those that are drawn last come last: the scored photographs, the highest score at the end.
function mapPoints() {
  const {training, photographs} = REPORT.featureMap, points = [];
  training.forEach(([x, y], i) => {
    const kind = REPORT.training.painted[i] ? 'painted' : 'training';
    if (layers[kind]) points.push([kind, i, x, y]);
  });
  for (let i = count - 1; layers.photographs && i >= 0; i--)
    points.push(['photographs', i, ...photographs[i]]);
  return points;
}

const subspecies = [...new Set((REPORT.training?.group ?? []).filter((_, i) => !REPORT.training.hybrid[i]))]
  .sort(collator.compare);

function colourOf(i) {
  const place = subspecies.indexOf(REPORT.training.group[i]);
  return REPORT.training.hybrid[i] || place < 0 ? null : subspeciesColour(place);
}

function subspeciesColour(place) {
  const hue = 55 + 300 * place / subspecies.length;  // orange is what is called hybrid
  return `hsl(${Math.round(hue)} 70% ${place % 2 ? 62 : 44}%)`;
}

function mapScale() {
  const canvas = $('map_canvas'), width = canvas.clientWidth, height = canvas.clientHeight, rim = 16;
  const places = [...REPORT.featureMap.training, ...REPORT.featureMap.photographs];
  const range = axis => places.reduce(([low, high], place) =>
    [Math.min(low, place[axis]), Math.max(high, place[axis])], [1, 0]);
  const [left, right] = range(0), [low, high] = range(1);
  const grow = Math.min((width - 2 * rim) / Math.max(right - left, 1e-6), (height - 2 * rim) / Math.max(high - low, 1e-6));
  return (x, y) => [width / 2 + grow * (x - (left + right) / 2), height / 2 - grow * (y - (low + high) / 2)];
}

// Of one of n scored photographs, in pixels.
function pointRadius(n) {
  return 3.5 * Math.max(0.4, Math.min(1, Math.sqrt(FEW / n)));
}

function drawMap() {
  const canvas = $('map_canvas');
  if (!canvas || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const {clientWidth: width, clientHeight: height} = canvas;  // on paper one follows the other
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext('2d'), place = mapScale();
  const colours = Object.fromEntries(['ink', 'faint', 'hybrid', 'other', 'card'].map(name => [name, style.getPropertyValue(`--${name}`)]));
  pen.scale(ratio, ratio);
  const radius = pointRadius(count);
  for (const [kind, i, x, y] of mapPoints()) {
    const [left, top] = place(x, y);
    pen.beginPath();
    if (kind === 'photographs') {
      pen.arc(left, top, radius, 0, 7);
      pen.lineWidth = radius / pointRadius(1);
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
  const [first, second] = REPORT.featureMap.shares.map(percent);
  $('map_frame').append(make('p', {class: 'note'}, `Principal axes 1 and 2, ${first} and ${second} of the variance.`));
}

// To the next of the scored photographs, or of the training's images, among those shown.
function walkMap(scored, step) {
  const shown = mapPoints().filter(([kind]) => (kind === 'photographs') === scored);
  if (scored) shown.reverse();  // the highest score first
  const now = shown.findIndex(([kind, i]) => kind === pointed?.[0] && i === pointed[1]);
  const next = shown[Math.min(shown.length - 1, Math.max(0, now + step))];
  if (next) point(next.slice(0, 2));
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
    const walk = {ArrowRight: [true, 1], ArrowLeft: [true, -1], ArrowDown: [false, 1], ArrowUp: [false, -1]}[event.key];
    if (walk) { event.preventDefault(); walkMap(...walk); }
    if (event.key === 'Enter' && pointed?.[0] === 'photographs') open(pointed[1], [pointed[1]]);
    if (event.key === 'Escape') point(null);
  };
  canvas.onblur = () => point(null);
  matchMedia('(prefers-color-scheme: dark)').onchange = drawMap;
}
