// The events as a list. Only the rows in sight are in the page, however many there are.

const list = (() => {
  const scroller = byId('events');
  const inner = byId('rows');
  const HEIGHT = 24;
  let selected = -1;
  let choose = () => {};

  const rowOf = (position) => {
    const index = filter.shown[position];
    const dot = el('span', { class: 'dot' });
    dot.style.background = hostColor(record.host[index]);
    const row = el(
      'div',
      {
        role: 'option', id: `row-${record.step[index]}`, 'aria-selected': String(index === selected),
        'aria-posinset': position + 1, 'aria-setsize': filter.shown.length,
        class: `row ${record.kindName(index)}${record.violated.has(index) ? ' violated' : ''}`,
        onclick: () => choose(index),
      },
      el('span', { class: 'step' }, `#${record.step[index]}`),
      el('span', { class: 'time' }, moment(record.us[index])),
      el('span', { class: 'host' }, dot, record.hostName(index)),
      el('span', { class: 'words' }, record.words(index)),
    );
    row.style.top = `${position * HEIGHT}px`;
    return row;
  };

  const render = () => {
    const first = Math.max(Math.floor(scroller.scrollTop / HEIGHT) - 8, 0);
    const last = Math.min(Math.ceil((scroller.scrollTop + scroller.clientHeight) / HEIGHT) + 8, filter.shown.length);
    const rows = [];
    for (let position = first; position < last; position += 1) rows.push(rowOf(position));
    inner.replaceChildren(...rows);
    if (selected >= 0 && byId(`row-${record.step[selected]}`)) {
      scroller.setAttribute('aria-activedescendant', `row-${record.step[selected]}`);
    } else {
      scroller.removeAttribute('aria-activedescendant');
    }
  };

  scroller.addEventListener('scroll', () => requestAnimationFrame(render));
  new ResizeObserver(render).observe(scroller);
  return {
    onchoose(listener) { choose = listener; },
    refresh() {
      inner.style.height = `${filter.shown.length * HEIGHT}px`;
      byId('shown').textContent = filter.active
        ? `${thousands(filter.shown.length)} of ${counted(record.count, 'event')}`
        : counted(record.count, 'event');
      render();
    },
    select(index) {
      selected = index;
      const top = filter.position(index) * HEIGHT;
      if (top < scroller.scrollTop + HEIGHT || top > scroller.scrollTop + scroller.clientHeight - 2 * HEIGHT) {
        scroller.scrollTop = top - scroller.clientHeight / 2;
      }
      render();
    },
  };
})();
