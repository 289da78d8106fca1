// The page of a sweep.

const started = performance.now();
const repaints = [];
const tip = byId('tip');

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function canvasOf(width, height, className, label, draw) {
  const canvas = el('canvas', { class: className, role: 'img', 'aria-label': label });
  const paint = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    draw(context);
  };
  repaints.push(paint);
  return canvas;
}

const SAID = ['every property held', 'violated, as expected', 'not as expected'];

/** One small square a run: calm where all held, light where it fails as it should, loud where it should not. */
function strip(variant) {
  const runs = variant.each;
  if (!runs.length) return null;
  const width = 220;
  const size = Math.max(2, Math.min(9, Math.floor(Math.sqrt((width * 54) / runs.length))));
  const columns = Math.floor(width / size);
  const height = Math.ceil(runs.length / columns) * size;
  const gap = size > 4 ? 1 : 0;
  const unexpected = runs.filter(([, outcome]) => outcome === 2).length;
  const canvas = canvasOf(width, height, 'strip', `${runs.length} runs, ${unexpected} not as expected`, (context) => {
    const [held, violated, bad] = [color('good'), color('faint'), color('bad')];
    runs.forEach(([, outcome], index) => {
      context.globalAlpha = outcome === 0 ? 0.55 : outcome === 1 ? 0.5 : 1;
      context.fillStyle = [held, violated, bad][outcome];
      const [x, y] = [(index % columns) * size, Math.floor(index / columns) * size];
      if (outcome === 1 && size > 3) context.fillRect(x, y + size / 4, size - gap, size / 2 - gap);
      else context.fillRect(x, y, size - gap, size - gap);
    });
  });
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return runs[Math.floor((event.clientY - box.top) / size) * columns + Math.floor((event.clientX - box.left) / size)];
  };
  canvas.addEventListener('pointermove', (event) => {
    const run = at(event);
    tip.hidden = !run;
    if (!run) return;
    tip.textContent = `seed ${run[0]}: ${SAID[run[1]]}${run[2] === null ? '' : `, recovered after ${seconds(run[2])}`}`;
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 330)}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });
  canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
  return canvas;
}

/** Recovery times on the scale all scenarios share: a dot a run, a line at the median. */
function distribution(times, greatest) {
  if (!times.length) return el('span', { class: 'muted' }, '–');
  const [width, height] = [170, 26];
  const median = times[(times.length - 1) >> 1];
  const label = `median ${seconds(median)}, longest ${seconds(times.at(-1))}`;
  return el('div', {},
    canvasOf(width, height, 'dist', label, (context) => {
      const x = (us) => 3 + (us / greatest) * (width - 6);
      context.fillStyle = color('line');
      context.fillRect(0, height / 2, width, 1);
      context.fillStyle = color('accent');
      context.globalAlpha = Math.max(0.12, Math.min(0.6, 8 / times.length + 0.1));
      times.forEach((time, index) => {
        context.beginPath();
        context.arc(x(time), height / 2 + (((index * 7919) % 11) - 5), 2.2, 0, Math.PI * 2);
        context.fill();
      });
      context.globalAlpha = 1;
      context.fillRect(x(median) - 1, 2, 2, height - 4);
    }),
    el('span', { class: 'file' }, label));
}

function run(failure, bad, open) {
  const first = failure.violations[0];
  return el('details', { class: bad ? 'run bad' : 'run', open },
    el('summary', {}, pageLink(failure.page, {}, `seed ${failure.seed}`), ` ${failure.reason}`),
    ...failure.violations.map(([property, at, host, detail]) => el('p', {}, el('b', {}, property), ` at ${at} on ${host}: ${detail}`)),
    failure.decisive.length ? el('pre', { tabindex: '0' }, failure.decisive.join('\n')) : null,
    first && failure.page ? el('p', {}, pageLink(failure.page, {}, 'Open the run')) : null,
    command(failure.replay));
}

function scenarios() {
  const greatest = Math.max(1, ...data.variants.flatMap((variant) => variant.recovery.slice(-1)));
  const rows = data.variants.flatMap((variant) => {
    const cut = variant.name.lastIndexOf('/');
    const [scenario, name] = cut < 0 ? [variant.name, ''] : [variant.name.slice(0, cut), variant.name.slice(cut)];
    const shown = [...variant.failures.map((failure, index) => run(failure, true, index === 0)), ...(variant.example ? [run(variant.example, false, false)] : [])];
    const row = el('tr', { class: shown.length ? 'head' : '' },
      el('td', { class: `mark ${variant.as_expected ? 'good' : 'bad'}` }, variant.as_expected ? '✓' : '✗',
        el('span', { class: 'visually-hidden' }, variant.as_expected ? 'as expected' : 'not as expected')),
      el('td', { class: 'name' }, el('b', {}, scenario), el('span', { class: 'variant' }, name),
        el('div', { class: 'file' }, variant.line ? `${variant.file}:${variant.line}` : variant.file)),
      el('td', { class: 'expect' }, variant.expectation,
        el('ul', {}, ...(variant.violations.length
          ? variant.violations.map(([property, runs]) => el('li', {}, `${property} violated in ${thousands(runs)}`))
          : [el('li', {}, 'nothing violated')]))),
      el('td', {}, strip(variant)),
      el('td', { class: 'number' }, thousands(variant.runs)),
      el('td', { class: 'number' }, variant.per_second === null ? '–' : variant.per_second >= 10 ? thousands(Math.round(variant.per_second)) : variant.per_second.toFixed(1)),
      el('td', {}, distribution(variant.recovery, greatest)));
    if (!shown.length) return [row];
    return [row, el('tr', { class: 'details' }, el('td', {}), el('td', { colspan: '6' }, el('div', { class: 'runs' }, ...shown)))];
  });
  byId('scenarios').append(
    el('thead', {}, el('tr', {}, ...['', 'scenario', 'expected, and seen', 'every run', 'runs', 'runs/s', 'time to recover']
      .map((heading, column) => el('th', { scope: 'col', class: column === 4 || column === 5 ? 'number' : '' }, heading)))),
    el('tbody', {}, ...rows));
}

function buckets() {
  const all = data.variants.flatMap((variant) => variant.buckets.map((bucket) => ({ ...bucket, variant })))
    .sort((a, b) => a.variant.as_expected - b.variant.as_expected || b.runs - a.runs);
  byId('buckets-section').hidden = !all.length;
  byId('buckets').append(
    el('thead', {}, el('tr', {}, ...['property', 'on', 'what was seen', 'scenario', 'runs', 'seeds'].map((heading) => el('th', { scope: 'col' }, heading)))),
    el('tbody', {}, ...all.map((bucket) => {
      const bar = el('span', { class: 'bar' });
      bar.style.width = `${Math.max(2, (bucket.runs / Math.max(bucket.variant.runs, 1)) * 60)}px`;
      return el('tr', {},
        el('td', {}, el('b', {}, bucket.property)), el('td', {}, bucket.role), el('td', { class: 'expect' }, bucket.detail),
        el('td', {}, bucket.variant.name, el('div', { class: 'file' }, bucket.variant.as_expected ? 'as expected' : 'not expected')),
        el('td', {}, bar, thousands(bucket.runs)),
        el('td', { class: 'mono' }, bucket.seeds.join(', ')));
    })));
}

function maps() {
  byId('map-section').hidden = !data.maps.length;
  byId('maps').append(...data.maps.map((map) => el('div', { class: 'panel scroll' }, el('table', { class: 'map' },
    el('caption', {}, map.title),
    el('thead', {}, el('tr', {}, el('td', {}), ...map.columns.map((column) => el('th', { scope: 'col' }, column)))),
    el('tbody', {}, ...map.rows.map((name, row) => el('tr', {}, el('th', { scope: 'row' }, name),
      ...map.columns.map((_, column) => cellOf((map.cells[row] || [])[column])))))))));
}

/** Told by colour, by hatching and by what is written. */
function cellOf(cell) {
  if (!cell) return el('td', {}, el('span', { class: 'cell', 'aria-label': 'no run was there' }, '·'));
  const link = pageLink(cell.page, {}, cell.label);
  link.className = `cell ${cell.share >= 1 ? 'all' : cell.share > 0 ? 'some' : 'none'}`;
  link.title = cell.detail;
  return el('td', {}, link);
}

function sometimes() {
  byId('sometimes-section').hidden = !data.sometimes.length;
  byId('sometimes').append(...data.sometimes.map(({ name, hit, runs }) => el('li', { class: hit ? '' : 'missed' },
    hit ? `✓ ${name}: in ${thousands(hit)} of ${counted(runs, 'run')}` : `✗ ${name}: never, in ${counted(runs, 'run')}`)));
}

function plots() {
  const templates = [...document.querySelectorAll('template.plot')];
  byId('plots-section').hidden = !templates.length;
  byId('plots').append(...templates.map((template) => el('figure', { class: 'panel plot-panel' }, template.content)));
  document.querySelectorAll('figure').forEach((figure) => { figure.style.margin = '0'; });
}

const failed = data.variants.length - data.as_expected;
byId('title').textContent = counted(data.variants.length, 'variant');
byId('verdict').textContent = failed ? `✗ ${failed} not as expected` : '✓ all as expected';
byId('verdict').classList.add(failed ? 'bad' : 'good');
byId('totals').textContent = `${counted(data.runs, 'run')}: ${data.simulated} simulated${data.elapsed ? ` in ${data.elapsed}` : ''}`;
scenarios();
buckets();
maps();
sometimes();
plots();
byId('brand').append(themeButton(() => repaints.forEach((paint) => paint())));
document.documentElement.dataset.ready = Math.round(performance.now() - started);
