'use strict';
// What a person says of the photographs: kept by the browser, and saved for training.py --corrections.

const KEYS = {h: 'hybrid', n: 'non-hybrid', u: 'unsure'};
const PLACE = `said of the photographs in ${REPORT.folder}`;
let said = {};  // by name and size of a file: the word, the date, and what the specimen is
said = readSaid();

function readSaid() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE));
    return kept instanceof Object ? kept : {};
  } catch {
    return said;
  }
}

// Of the photograph i, as texts; another photograph of the same name has another size.
const entry = i => `${shots.name[i]} ${shots.bytes[i]}`;
function person(i) {
  const [word, date, specimen] = Object.assign(['', '', ''], said[entry(i)]).map(String);
  return Object.values(KEYS).includes(word) ? {word, date, specimen} : {word: '', date: '', specimen: ''};
}

function say(i, word, specimen = '') {
  said = readSaid();  // another window may have written
  if (word) said[entry(i)] = [word, new Date().toISOString().slice(0, 10), specimen];
  else delete said[entry(i)];
  try {
    localStorage.setItem(PLACE, JSON.stringify(said));
    $('kept').textContent = '';
  } catch {
    $('kept').textContent = 'This browser keeps no decisions: save them before you close the page.';
  }
  showPerson(i);
  drawRows(true);
}

// A key or button pressed again takes back what was said.
function press(word) {
  const i = panelRows[opened];
  say(i, person(i).word === word ? '' : word);
}

function showPerson(i) {
  const {word, specimen} = person(i);
  for (const button of document.querySelectorAll('#person_says button'))
    button.setAttribute('aria-pressed', button.value === word);
  $('specimen').value = specimen;
  $('specimen').disabled = !word || word === 'unsure';
}

function showSaid() {
  const all = shots.name.map((_, i) => i).filter(i => person(i).word);
  $('save').disabled = !all.length;
  $('save').textContent = `Save what I said as CSV (${number(all.length)})`;
  return all;
}
