'use strict';
// One photograph: the panel, and heat maps.

const HEAT = {positive: [240, 100, 0], negative: [30, 110, 220], strongest: 190};
let panelRows = [];  // numbers of the photographs that Next and Previous go through
let fromList = false;  // whether the panel was opened there
let opened = null;  // place in them of the one in the panel

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

function open(i, among) {
  panelRows = among;
  opened = among.indexOf(i);
  $('panel_title').textContent = shots.name[i];
  $('panel_body').replaceChildren(make('div', {}, ...pictureParts(i)), make('div', {}, ...factParts(i)));
  $('previous').disabled = opened <= 0;
  $('next').disabled = opened >= among.length - 1;
  showPerson(i);
  if (!$('panel').open) {
    fromList = Boolean(document.activeElement.closest('.row'));
    $('panel').showModal();
  }
  $('panel').scrollTop = 0;
}

// Rows may have been made anew under the panel, and another photograph than the first is shown.
function closed() {
  showSaid();
  if ($('person').value) choose();
  const place = selection.indexOf(panelRows[opened]);
  if (fromList && place >= 0) showPlace(place);
}

function go(step) {
  const i = panelRows[opened + step];
  if (i !== undefined) open(i, panelRows);
}

function pictureParts(i) {
  const map = REPORT.maps[i];
  const image = make('img', {src: picture(i), alt: shots.name[i]}), frame = make('span', {class: 'large'}, image);
  image.onload = () => frame.style.setProperty('--ratio', image.naturalWidth / image.naturalHeight);
  const parts = [frame];
  if (map) {
    const canvas = heatCanvas(map);
    const box = make('input', {type: 'checkbox', id: 'panel_heat'});
    box.checked = $('heat').checked;
    canvas.hidden = !box.checked;
    frame.append(canvas);
    box.onchange = () => {
      $('heat').checked = box.checked;
      for (const drawn of document.querySelectorAll('.large canvas')) drawn.hidden = !box.checked;
      redrawHeat();
    };
    parts.push(make('label', {class: 'check'}, box, 'Heat map: where the evidence lies'), heatLegend(map));
  } else if (!REPORT.wingMaps[i]) {
    parts.push(make('p', {class: 'note'}, 'Heat maps are kept for the photographs with the highest scores '
      + '(--all_heat_maps: for all).'));
  }
  if (REPORT.wings) parts.push(...wingParts(i));
  parts.push(make('p', {class: 'link'}, make('a', {href: shots.link[i], target: '_blank', rel: 'noopener'}, 'Open the file')));
  return parts;
}

// The sides as the third member sees them, with its own map where there is one.
function wingParts(i) {
  const frame = make('span', {class: 'large'}, make('img', {src: `wings/${i}.jpg`, alt: 'its left and right side, the right one mirrored'}));
  frame.style.setProperty('--ratio', 2);
  const map = REPORT.wingMaps[i];
  if (map) {
    const canvas = heatCanvas(map);
    canvas.hidden = $('heat') !== null && !$('heat').checked; // no box: there are no other maps
    frame.append(canvas);
  }
  return [make('p', {class: 'note'}, 'The wings as the third member sees them, left side and right side mirrored'
    + (map ? '; with the heat map, what each part adds to the log-odds of its probability.' : '.')), frame];
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
  parts.push(make('h3', {}, 'What each member says'), memberBars(i));
  const parents = shots.parents[i];
  if (parents) {
    const [first, second, share, certainty] = parents;
    parts.push(make('h3', {}, 'If it is a hybrid'), make('p', {},
      shots.parentsText[i] === 'unknown' ? 'Its parents are unknown; likeliest are ' : 'Its parents are ',
      make('b', {}, `${first} and ${second}`), `, certainty ${certainty.toFixed(2)}.`,
      called(i) ? '' : ' It is called non-hybrid, and then this means nothing, however high the certainty.'));
    parts.push(make('div', {class: 'pair'}, similar(i, 0, first, share), similar(i, 1, second, 1 - share)));
    if (REPORT.noTraining) parts.push(make('p', {class: 'note'}, REPORT.noTraining));
  }
  return parts;
}

function similar(i, side, name, share) {
  const place = REPORT.similar?.[i]?.[side] ?? null;
  const caption = make('figcaption', {}, make('b', {}, name), ` (share ${percent(share)})`);
  if (place === null) return make('figure', {}, caption);
  caption.append(`; most like it: ${REPORT.training[place]}`);
  return make('figure', {}, make('img', {src: `training/${place}.jpg`, alt: `training photograph of ${name}`}), caption);
}
