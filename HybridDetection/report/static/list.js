'use strict';
// The list of photographs, and its file. Rows in view alone are in the page.

const MARGIN = 6;  // rows drawn above and below those in view
const PRINTED = 200;  // rows on paper
const rows = new Map();  // by number of the photograph
let onPaper = [];  // pictures of the rows that would be printed
let gathering = null;

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
  const pair = $('parents')?.value ?? '', fact = $('truth')?.value ?? '', word = $('person').value;
  const bound = (id, otherwise) => $(id).value === '' ? otherwise : +$(id).value;
  const low = bound('lowest', -Infinity), high = bound('highest', Infinity);
  selection = [];
  for (let i = 0; i < count; i++) {
    if (shots.score[i] < low || shots.score[i] > high) continue;
    if (wanted && !shots.name[i].toLowerCase().includes(wanted)) continue;
    if (call && called(i) !== (call === '1')) continue;
    if (word && (person(i).word || 'nothing') !== word) continue;
    if (pair && shots.parentsText[i] !== pair) continue;
    if (fact === 'wrong' && (truth(i) === null || called(i) === (truth(i) === 1))) continue;
    if (fact && fact !== 'wrong' && truth(i) !== +fact) continue;
    selection.push(i);
  }
  if ($('sort').selectedIndex > 0) selection.sort(SORTS[$('sort').value]);
  $('selected').textContent = selection.length === count ? `All ${number(count)} photographs`
    : `${number(selection.length)} of ${number(count)} photographs`;
  drawRows(true);
  clearTimeout(gathering);
  gathering = setTimeout(gatherPrinted, 500);  // not at each letter of a name
}

// A printer does not wait for pictures: those of rows beyond the view must have been loaded.
function gatherPrinted() {
  onPaper = selection.slice(0, PRINTED).map(i => Object.assign(new Image(), {src: picture(i)}));
}

function beginPrint() {
  $('printed').textContent = selection.length > PRINTED
    ? `The first ${PRINTED} are printed.` : '';
  drawRows(true, PRINTED);
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
      call.nextSibling.textContent = person(i).word && `you: ${person(i).word}`;
    }
    if (row === next) next = next.nextSibling;
    else list.insertBefore(row, next);
  });
}

function makeRow(i) {
  const fit = make('span', {class: 'fit'}, make('img', {src: picture(i), alt: ''}));
  if ($('heat')?.checked && REPORT.maps[i]) fit.append(heatCanvas(REPORT.maps[i]));
  const score = make('span', {class: 'score'}, shots.score[i].toFixed(4), make('small'), make('small'));
  const name = make('span', {class: 'name'}, shots.name[i]);
  if (truth(i) !== null)
    name.append(make('small', {}, `is: ${shots.shows[i] || (truth(i) ? 'hybrid' : 'non-hybrid')}`));
  const outside = REPORT.maps[i]?.outside ?? 0;
  if (outside > REPORT.warnAbove)
    name.append(make('small', {class: 'look'}, `look twice: ${percent(outside)} outside the specimen`));
  const button = make('button', {type: 'button'},
    make('span', {class: 'rank'}, make('span', {class: 'spoken'}, 'rank '), number(i + 1)),
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
    make('small', {}, text === 'unknown' ? `perhaps ${first} and ${second}` : `certainty ${certainty.toFixed(2)}`,
      make('i', {}, ', if it is a hybrid')));
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

function redrawHeat() {
  for (const row of rows.values()) row.remove();
  rows.clear();
  drawRows(true);
}

// Spreadsheets compute a text that begins with one of these, and names come from strangers; an
// apostrophe before it makes it a text (OWASP, CSV injection). Training takes it away again.
function csvCell(value) {
  if (typeof value !== 'string') return value;
  const text = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : value;
  return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(chosen, file) {
  const heads = ['filename', 'score', ...REPORT.memberNames, 'threshold', 'decision'];
  if (REPORT.memberNames.includes('subspecies'))
    heads.push('parent_1', 'share_1', 'parent_2', 'share_2', 'parents', 'certainty');
  if (REPORT.reference) heads.push('hybrid_stat');
  heads.push('person', 'date', 'person_subspecies', 'folder');
  const lines = chosen.map(i => {
    const cells = [shots.name[i], shots.score[i], ...REPORT.memberNames.map(member => shots.members[member][i]),
      threshold, decision(i)];
    if (REPORT.memberNames.includes('subspecies')) {
      const [first, second, share, certainty] = shots.parents[i];
      cells.push(first, share, second, +(1 - share).toFixed(2), shots.parentsText[i], certainty);
    }
    if (REPORT.reference) cells.push(truth(i) ?? '');
    const {word, date, specimen} = person(i);
    cells.push(word, date, specimen, REPORT.folder);
    return cells.map(csvCell).join(',');
  });
  const blob = new Blob([[heads.join(','), ...lines].join('\n') + '\n'], {type: 'text/csv'});
  const link = make('a', {href: URL.createObjectURL(blob), download: file});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
