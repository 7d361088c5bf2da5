// All rows stand in the page, so it is readable without a script; the script only hides rows, and a
// browser does not fetch the lazy pictures of hidden ones.
const PER_PAGE = 50;
const rows = [...document.querySelectorAll('figure')];
const group = document.querySelector('select');
const [previous, next] = document.querySelectorAll('nav button');
let page = 0;
function show() {
  const wanted = rows.filter(row => !group.value || row.dataset.group === group.value);
  const pages = Math.max(1, Math.ceil(wanted.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const shown = new Set(wanted.slice(page * PER_PAGE, (page + 1) * PER_PAGE));
  rows.forEach(row => { row.hidden = !shown.has(row); });
  document.querySelector('#place').textContent =
    `page ${page + 1} of ${pages}, ${wanted.length} rows`;
  previous.disabled = page === 0;
  next.disabled = page === pages - 1;
}
function turn(pages) { page += pages; show(); scrollTo(0, 0); }
previous.onclick = () => turn(-1);
next.onclick = () => turn(1);
group.onchange = () => { page = 0; show(); };
show();
