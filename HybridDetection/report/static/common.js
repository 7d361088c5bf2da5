'use strict';
// What the other scripts share. REPORT is data.js; photographs are numbered by score, the highest first.

const shots = REPORT.photographs;
const count = shots.name.length;
const SVG = 'http://www.w3.org/2000/svg';
let threshold = REPORT.threshold ?? 0.5;
let selection = [];  // numbers of the photographs in the list, in its order

const $ = id => document.getElementById(id);
const number = value => value.toLocaleString('en');
const percent = share => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)}\u00a0%`;
const called = i => shots.score[i] > threshold;
const decision = i => called(i) ? 'hybrid' : 'non-hybrid';
const truth = i => shots.label?.[i] ?? null;
const picture = i => `photographs/${i}.jpg`;
const collator = new Intl.Collator('en', {numeric: true});

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith('svg:')
    ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function chart(width, height, label) {
  const attributes = {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label};
  return make('svg:svg', attributes);
}
