// The page of a sweep.

const started = performance.now();
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
  // What is not as expected first: it is what somebody came for.
  const sorted = [...data.variants].sort((a, b) => a.as_expected - b.as_expected);
  const rows = sorted.flatMap((variant) => {
    const cut = variant.name.lastIndexOf('/');
    const [scenario, name] = cut < 0 ? [variant.name, ''] : [variant.name.slice(0, cut), variant.name.slice(cut)];
    // An example that has a page is a link; what failed is told here.
    const { example } = variant;
    const linked = example && example.page;
    const shown = [...variant.failures.map((failure, index) => run(failure, true, index === 0)), ...(example && !linked ? [run(example, false, false)] : [])];
    const row = el('tr', { class: shown.length ? 'head' : '' },
      el('td', { class: `mark ${variant.as_expected ? 'good' : 'bad'}` }, variant.as_expected ? '✓' : '✗',
        el('span', { class: 'visually-hidden' }, variant.as_expected ? 'as expected' : 'not as expected')),
      el('td', { class: 'name' }, el('b', {}, scenario), el('span', { class: 'variant' }, name),
        el('div', { class: 'file' }, variant.line ? `${variant.file}:${variant.line}` : variant.file)),
      el('td', { class: 'expect' }, variant.expectation,
        el('ul', {}, ...(variant.violations.length
          ? variant.violations.map(([property, runs]) => el('li', {}, `${property} violated in ${thousands(runs)}`))
          : [el('li', {}, 'nothing violated')]),
        ...variant.vacuous.map((name) => el('li', { class: 'missed' }, `${name} never reached, so it proves nothing`)),
          linked ? el('li', {}, pageLink(example.page, {}, `look at seed ${example.seed}`)) : null)),
      el('td', { class: 'wide' }, strip(variant)),
      el('td', { class: 'number' }, thousands(variant.runs)),
      el('td', { class: 'number wide' }, variant.per_second === null ? '–' : variant.per_second >= 10 ? thousands(Math.round(variant.per_second)) : variant.per_second.toFixed(1)),
      el('td', { class: 'recovery' }, distribution(variant.recovery, greatest)));
    if (!shown.length) return [row];
    return [row, el('tr', { class: 'details' }, el('td', {}), el('td', { colspan: '6' }, el('div', { class: 'runs' }, ...shown)))];
  });
  byId('scenarios').append(
    el('thead', {}, el('tr', {}, ...['', 'scenario', 'expected, and seen', 'every run', 'runs', 'runs/s', 'time to recover']
      .map((heading, column) => el('th', { scope: 'col', class: `${column === 4 || column === 5 ? 'number' : ''} ${column === 3 || column === 5 ? 'wide' : ''}` }, heading)))),
    el('tbody', {}, ...rows));
}

/** One row a failure, however many variants show it: where it is not expected first, then the most frequent. */
function buckets() {
  const ways = new Map();
  for (const variant of data.variants) {
    for (const { told, runs, seeds } of variant.buckets) {
      const key = JSON.stringify(told);
      const way = ways.get(key) || { told, runs: 0, of: 0, places: [] };
      ways.set(key, way);
      way.runs += runs;
      way.of += variant.runs;
      way.places.push({ variant, runs, seeds });
    }
  }
  const unexpected = (way) => way.places.filter(({ variant }) => !variant.as_expected).length;
  const all = [...ways.values()].sort((a, b) => unexpected(b) - unexpected(a) || b.runs - a.runs);
  byId('buckets-section').hidden = !all.length;
  byId('buckets').append(
    el('thead', {}, el('tr', {}, ...['failure', 'property', 'on', 'what was seen', 'runs', 'where'].map((heading) => el('th', { scope: 'col' }, heading)))),
    el('tbody', {}, ...all.map((way) => {
      const bar = el('span', { class: 'bar' });
      bar.style.width = `${Math.max(2, (way.runs / Math.max(way.of, 1)) * 60)}px`;
      const [id, property, role, words] = way.told;
      const places = way.places.sort((a, b) => a.variant.as_expected - b.variant.as_expected || b.runs - a.runs);
      const place = ({ variant, runs, seeds }) => el('li', { class: variant.as_expected ? '' : 'missed' },
        `${variant.name}: ${thousands(runs)}${variant.as_expected ? '' : ', not as expected'}`, el('span', { class: 'file' }, ` seeds ${seeds.join(', ')}`));
      return el('tr', {},
        el('td', { class: 'mono' }, id || '–'), el('td', {}, el('b', {}, property)), el('td', {}, role), el('td', { class: 'expect' }, words),
        el('td', { class: 'nowrap' }, bar, thousands(way.runs)),
        el('td', { class: 'places' }, places.length === 1
          ? el('ul', {}, place(places[0]))
          : el('details', { open: unexpected(way) > 0 }, el('summary', {}, counted(places.length, 'variant')), el('ul', {}, ...places.map(place)))));
    })));
}

/** What was seen, and above it what was not: of that the sweep says nothing. */
function sometimes() {
  const never = data.sometimes.filter(({ runs }) => !runs);
  byId('sometimes-verdict').textContent = never.length
    ? `${never.length} of ${data.sometimes.length} never seen: of those the sweep says nothing`
    : `all ${data.sometimes.length} were seen`;
  const most = Math.max(1, data.runs);
  byId('sometimes').append(
    el('thead', {}, el('tr', {}, ...['', 'what', 'in runs', 'of variants'].map((heading, column) => el('th', { scope: 'col', class: column > 1 ? 'number' : '' }, heading)))),
    el('tbody', {}, ...[...never, ...data.sometimes.filter(({ runs }) => runs)].map(({ name, words, runs, variants }) => {
      const bar = el('span', { class: 'bar seen' });
      bar.style.width = `${Math.max(runs ? 2 : 0, (runs / most) * 90)}px`;
      return el('tr', { class: runs ? '' : 'missed' },
        el('td', { class: `mark ${runs ? 'good' : 'bad'}` }, runs ? '✓' : '✗', el('span', { class: 'visually-hidden' }, runs ? 'seen' : 'never seen')),
        el('td', {}, el('b', {}, name), el('div', { class: 'file' }, words)),
        el('td', { class: 'number' }, runs ? bar : null, runs ? `${thousands(runs)} of ${thousands(data.runs)}` : 'never'),
        el('td', { class: 'number' }, runs ? `${thousands(variants)} of ${thousands(data.variants.length)}` : '–'));
    })));
}

function plots() {
  const templates = [...document.querySelectorAll('template.plot')];
  byId('plots-section').hidden = !templates.length;
  byId('plots').append(...templates.map((template) => {
    // A picture with a name, and not forty numbers read out one after the other.
    const svg = template.content.querySelector('svg');
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', svg.querySelector('text')?.textContent.trim() || 'plot');
    return el('figure', { class: 'panel plot-panel' }, template.content);
  }));
}

const failed = data.variants.length - data.as_expected;
byId('title').textContent = counted(data.variants.length, 'variant');
byId('verdict').textContent = failed ? `✗ ${failed} not as expected` : '✓ all as expected';
byId('verdict').classList.add(failed ? 'bad' : 'good');
byId('totals').textContent = `${counted(data.runs, 'run')}: ${data.simulated} simulated${data.elapsed ? ` in ${data.elapsed}` : ''}`;
scenarios();
buckets();
byId('map-section').hidden = !data.maps.length;
byId('maps').append(...data.maps.map(heatMap));
sometimes();
plots();
byId('sections').append(...[...document.querySelectorAll('main > section:not([hidden])')].map((section) => {
  const heading = section.querySelector('h2');
  return el('a', { href: `#${heading.id}` }, heading.textContent);
}));
byId('brand').append(themeButton(() => repaints.forEach((paint) => paint())));
document.documentElement.dataset.ready = Math.round(performance.now() - started);
