// The page: what the hands do.

const started = performance.now();
let selected = -1;

function select(index, { reveal = true, address = true } = {}) {
  if (index < 0 || index >= record.count) return;
  selected = index;
  if (reveal) view.reveal(record.us[index]);
  painter.select(index);
  list.select(index);
  detail.show(index);
  // A page from a disk may not change its address in some browsers; links work all the same.
  if (address) try { history.replaceState(null, '', `#e${record.step[index]}`); } catch { /* As said. */ }
}

/** To the next or the previous event that is shown. */
function step(by) {
  const { shown } = filter;
  if (!shown.length) return;
  let position = filter.position(Math.max(selected, 0));
  if (selected < 0) position = by > 0 ? 0 : shown.length - 1;
  else if (by > 0) position += shown[position] === selected ? by : by - 1;
  else position += by;
  select(shown[Math.min(Math.max(position, 0), shown.length - 1)]);
}

function toViolation(by) {
  const steps = record.violations.map((violation) => violation.index).sort((a, b) => a - b);
  const next = by > 0 ? steps.find((index) => index > selected) ?? steps[0] : steps.findLast((index) => index < selected) ?? steps.at(-1);
  if (next !== undefined) close(next);
}

/** Selects an event and goes near it. */
function close(index) {
  const wanted = record.duration / 12;
  if (view.to - view.from > wanted) view.set(record.us[index] - wanted / 2, record.us[index] + wanted / 2);
  select(index);
}

function changed() {
  painter.relayout();
  list.refresh();
}

function head() {
  document.title = `${data.scenario} · seed ${data.seed}`;
  byId('crumb').append(data.home ? pageLink(data.home, {}, 'Sweep') : 'Run');
  byId('brand').append(themeButton(() => painter.restyle()));
  byId('title').textContent = data.scenario;
  byId('seed').textContent = `seed ${data.seed}`;
  const verdict = byId('verdict');
  const count = record.violations.length;
  verdict.textContent = count ? `▲ ${counted(count, 'violation')}` : '✓ every property held';
  verdict.classList.add(count ? 'bad' : 'good');
  byId('facts').append(...data.facts.map(([name, fact]) => el('div', {}, el('dt', {}, name), el('dd', {}, fact))));
  byId('replay').append(command(data.replay));
  byId('hash').textContent = data.hash;
  if (!data.complete) byId('notes').append(el('p', { class: 'broken' }, 'The record was cut off: what came after its last event is not known.'));
  if (data.skipped) byId('notes').append(el('p', { class: 'muted' }, `${counted(data.skipped, 'event')} of a newer format left out.`));
  byId('plan').append(...(data.faults.length ? data.faults : ['none']).map((fault) => el('li', {}, fault)));
  // What led there, in the order in which it happened; of the first at once, for it explains the others.
  const story = (violation, nth) => (violation.decisive.length > 1 ? el('details', { class: 'decisive', open: nth === 0 },
    el('summary', {}, `the ${violation.decisive.length} events that decide it`),
    el('ol', {}, ...violation.decisive.map((step) => {
      const index = record.indexOf(step);
      return el('li', {}, el('a', { href: `#e${step}`, onclick: (event) => { event.preventDefault(); close(index); } },
        el('span', { class: 'time' }, moment(record.us[index])), el('span', {}, record.hostName(index)), el('span', { class: 'words' }, record.words(index))));
    }))) : null);
  byId('violations').append(...record.violations.map((violation, nth) => el(
    'li', {},
    el('button', { type: 'button', class: 'violation', onclick: () => close(violation.index) },
      el('span', { class: 'time' }, moment(violation.us)),
      el('span', {}, el('b', {}, `▲ ${violation.property}`), el('span', { class: 'seen-on' }, ` on ${violation.host}`), el('span', { class: 'seen' }, violation.detail))),
    story(violation, nth),
  )));
  byId('wrong').hidden = !count;
}

function chips() {
  const chip = (sort, value, ...content) => {
    const button = el('button', {
      type: 'button', class: 'chip', 'aria-pressed': 'true',
      onclick: () => {
        filter.toggle(sort, value);
        button.setAttribute('aria-pressed', String(button.getAttribute('aria-pressed') !== 'true'));
        changed();
      },
    }, ...content);
    return button;
  };
  byId('hosts').append(...record.hosts.map(([name], host) => {
    const dot = el('span', { class: 'dot' });
    dot.style.background = hostColor(host);
    return chip('hosts', host, dot, name);
  }));
  byId('kinds').append(...record.kinds.map((name, kind) => chip('kinds', kind, name)));
}

function pointer() {
  const canvas = byId('lanes');
  const tip = byId('tip');
  let drag = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener('pointerdown', (event) => {
    drag = { x: event.clientX, from: view.from, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      const by = event.clientX - drag.x;
      drag.moved ||= Math.abs(by) > 3;
      if (drag.moved) {
        view.pan(drag.from - by * view.perPixel - view.from);
        painter.refresh();
        tip.hidden = true;
      }
      return;
    }
    const [x, y] = at(event);
    const hit = painter.hit(x, y);
    canvas.style.cursor = hit ? 'pointer' : 'grab';
    tip.hidden = !hit;
    if (!hit) return;
    tip.replaceChildren(...tipOf(hit));
    const width = Math.min(360, innerWidth - 24);
    tip.style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - width - 12), 8)}px`;
    tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18}px`;
  });
  canvas.addEventListener('pointerup', (event) => {
    if (drag && !drag.moved) {
      const hit = painter.hit(...at(event));
      if (hit) select(hit.event ?? record.indexOf(hit.span[5]), { reveal: false });
    }
    drag = null;
  });
  canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
  canvas.addEventListener('dblclick', (event) => { view.zoom(0.4, view.us(at(event)[0])); painter.refresh(); });
  canvas.addEventListener('wheel', (event) => {
    const [x] = at(event);
    if (event.ctrlKey || event.metaKey || event.altKey) view.zoom(1.0015 ** event.deltaY, view.us(x));
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) view.pan((event.deltaX || event.deltaY) * view.perPixel);
    else return;
    event.preventDefault();
    painter.refresh();
  }, { passive: false });
  const overview = byId('overview');
  let anchor = null;
  const time = (event) => {
    const box = overview.getBoundingClientRect();
    return view.start + ((event.clientX - box.left) / box.width) * (view.end - view.start);
  };
  overview.addEventListener('pointerdown', (event) => {
    anchor = time(event);
    overview.setPointerCapture(event.pointerId);
  });
  overview.addEventListener('pointermove', (event) => {
    if (anchor === null) return;
    const [from, to] = [anchor, time(event)].sort((a, b) => a - b);
    if (to - from > record.duration / 300) view.set(from, to);
    painter.refresh();
  });
  overview.addEventListener('pointerup', (event) => {
    const to = time(event);
    if (Math.abs(to - anchor) <= record.duration / 300) {
      const half = (view.to - view.from) / 2;
      view.set(to - half, to + half);
    }
    anchor = null;
    painter.refresh();
  });
}

function tipOf(hit) {
  if (hit.event !== undefined) {
    const index = hit.event;
    return [
      el('div', { class: 'muted' }, `#${record.step[index]} · ${moment(record.us[index])} · ${record.hostName(index)}`),
      el('div', {}, record.words(index)),
      ...record.violations.filter((violation) => violation.index === index)
        .map((violation) => el('div', { class: 'broken' }, `▲ ${violation.property}: ${violation.detail}`)),
    ];
  }
  const [from, to, tone, label] = hit.span;
  const said = { live: 'kept alive', ttl: 'TTL running', overdue: 'past its TTL, not ended yet' }[tone];
  return [
    el('div', { class: 'muted' }, [hit.track.title, hit.row.label].filter(Boolean).join(' · ')),
    el('div', {}, said ? `${label}: ${said}` : label),
    el('div', { class: 'muted' }, from === to ? moment(from) : `${moment(from)} to ${moment(to)}, ${seconds(to - from)}`),
  ];
}

const KEYS = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), j: () => step(1), k: () => step(-1),
  PageDown: () => step(20), PageUp: () => step(-20), Home: () => select(filter.shown[0]), End: () => select(filter.shown.at(-1)),
  '+': () => view.zoom(0.6, selected < 0 ? undefined : record.us[selected]), '=': () => KEYS['+'](), '-': () => view.zoom(1 / 0.6),
  0: () => view.whole(), h: () => view.pan((view.from - view.to) / 4), l: () => view.pan((view.to - view.from) / 4),
  v: () => toViolation(1), V: () => toViolation(-1), '/': () => byId('search').focus(), '?': () => byId('help').showModal(),
};

function keys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
    if (event.target instanceof HTMLInputElement) {
      if (event.key === 'Escape') event.target.blur();
      if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
      return;
    }
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
    painter.refresh();
  });
  let waiting = 0;
  byId('search').addEventListener('input', (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { filter.search(event.target.value); changed(); }, 80);
  });
  for (const [id, key] of [['zoom-in', '+'], ['zoom-out', '-'], ['zoom-all', '0'], ['next-violation', 'v'], ['show-help', '?']]) {
    byId(id).addEventListener('click', () => { KEYS[key](); painter.refresh(); });
  }
  byId('next-violation').hidden = !record.violations.length;
}

function fromAddress() {
  const wanted = /^#e(\d{1,15})$/.exec(location.hash);
  if (!wanted) return;
  const index = record.indexOf(Number(wanted[1]));
  if (index >= 0 && record.step[index] === Number(wanted[1])) close(index);
}

head();
chips();
list.onchoose((index) => select(index));
detail.onchoose((index) => select(index));
changed();
pointer();
keys();
addEventListener('hashchange', fromAddress);
new ResizeObserver(() => painter.refresh()).observe(byId('lanes'));
fromAddress();
painter.paint();
document.documentElement.dataset.ready = Math.round(performance.now() - started);
