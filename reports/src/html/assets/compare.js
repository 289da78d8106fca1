// Two runs side by side.

const started = performance.now();
const HEIGHT = 24;
const MARKS = { same: '=', moved: '≈', left: '‹', right: '›' };
const SAID = { same: 'the same', moved: 'at another time', left: 'only on the left', right: 'only on the right' };
const scroller = byId('scroller');
const different = data.rows.flatMap((row, index) => (row[2] === 'same' ? [] : [index]));
let shown = data.rows.map((_, index) => index);
let current = -1;

const side = (event, page) => (event
  ? el('div', { class: 'side', role: 'gridcell' }, pageLink(`${page}#e${event[0]}`, { class: 'step' }, `#${event[0]}`), el('span', { class: 'time' }, moment(event[1])),
    el('span', { class: 'host' }, event[2]), el('span', { class: 'words', title: event[3] }, event[3]))
  : el('div', { role: 'gridcell' }));

function rowOf(position) {
  const index = shown[position];
  const [left, right, verdict] = data.rows[index];
  const row = el('div', { role: 'row', class: `row ${verdict}${index === current ? ' current' : ''}${index === data.first ? ' first' : ''}` },
    side(left, data.pages[0]), el('span', { class: 'middle', title: SAID[verdict] }, MARKS[verdict]), side(right, data.pages[1]));
  row.style.top = `${position * HEIGHT}px`;
  return row;
}

function render() {
  const first = Math.max(Math.floor(scroller.scrollTop / HEIGHT) - 8, 0);
  const last = Math.min(Math.ceil((scroller.scrollTop + scroller.clientHeight) / HEIGHT) + 8, shown.length);
  const rows = [];
  for (let position = first; position < last; position += 1) rows.push(rowOf(position));
  byId('rows').style.height = `${shown.length * HEIGHT}px`;
  byId('rows').replaceChildren(...rows);
}

function go(index) {
  if (index === undefined || index < 0) return;
  current = index;
  const position = shown.indexOf(index);
  if (position >= 0) scroller.scrollTop = Math.max(position * HEIGHT - scroller.clientHeight / 3, 0);
  const [left, right, verdict] = data.rows[index];
  byId('spoken').textContent = `${SAID[verdict]}: ${[left, right].filter(Boolean).map((event) => `${moment(event[1])} ${event[2]} ${event[3]}`).join('; ')}`;
  render();
}

const next = () => go(different.find((index) => index > current) ?? different[0]);
const previous = () => go(different.findLast((index) => index < current) ?? different.at(-1));

document.title = `${data.names[0]} beside ${data.names[1]}`;
byId('brand').append(themeButton(() => {}));
byId('title').textContent = 'Where two runs differ';
const first = data.first === null ? null : data.rows[data.first];
byId('verdict').textContent = first ? `first at ${moment((first[0] || first[1])[1])}` : '✓ they are the same';
byId('verdict').classList.add(first ? 'bad' : 'good');
byId('left').textContent = `${data.names[0]}, ${counted(data.events[0], 'event')}`;
byId('right').textContent = `${data.names[1]}, ${counted(data.events[1], 'event')}`;
byId('same').textContent = `${counted(data.same, 'event')} the same before; ${counted(different.length, 'row')} differ${data.left_out ? `; ${counted(data.left_out, 'row')} left out at the end` : ''}`;
byId('headers').append(el('tr', {}, el('td', {}), ...data.pages.map((page, index) => el('td', {}, pageLink(page, {}, data.names[index])))),
  ...data.header.map(([name, left, right]) => el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, left), el('td', {}, right))));
byId('next').addEventListener('click', next);
byId('previous').addEventListener('click', previous);
byId('only').addEventListener('change', (event) => {
  shown = event.target.checked ? different : data.rows.map((_, index) => index);
  render();
  if (current >= 0) go(current);
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { n: next, ArrowRight: next, N: previous, ArrowLeft: previous }[event.key];
  if (act) { event.preventDefault(); act(); }
});
scroller.addEventListener('scroll', () => requestAnimationFrame(render));
new ResizeObserver(render).observe(scroller);
render();
if (data.first !== null) go(data.first);
document.documentElement.dataset.ready = Math.round(performance.now() - started);
