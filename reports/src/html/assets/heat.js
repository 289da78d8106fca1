// The recovery map: from which state, after which kind of fault, the cluster came back. A cell is told by
// colour, by hatching and by what is written; in full it is told below the map, where its runs are.

const cameBack = (cell) => `${thousands(cell.recovered)} of ${counted(cell.runs, 'run')} came back`
  + (cell.recovered ? `, ${seconds(cell.median)} at the median, ${seconds(cell.longest)} at most` : '');

/** How a cell looks: by the share of its runs that came back, or by how long they took. */
function paintCell(button, cell, by, longest) {
  const share = cell.runs ? cell.recovered / cell.runs : 1;
  const soft = share >= 1 ? 'all' : share > 0 ? 'some' : 'none';
  button.className = `cell ${by === 'share' || soft === 'none' ? soft : `time ${soft}`}`;
  button.textContent = by === 'share'
    ? String(Math.floor(share * 100))
    : cell.median === null ? '–' : String(Math.round(cell.median / 1e6));
  // The eye tells short times apart; a square root gives them room.
  if (by === 'time' && cell.median !== null) button.style.setProperty('--heat', `${Math.round(Math.sqrt(cell.median / longest) * 62) + 8}%`);
}

function heatMap(map) {
  const longest = Math.max(1, ...map.cells.flat().filter(Boolean).map((cell) => cell.median || 0));
  const place = (row, column) => {
    const fault = map.columns[column];
    return `${map.rows[row]}${column === 0 ? ', whatever the fault' : fault === 'no fault yet' ? ', before any fault' : `, after ${fault}`}`;
  };
  const told = el('div', { class: 'told', role: 'status', 'aria-live': 'polite' }, el('p', { class: 'muted' }, 'A cell is what became of the runs that were in that state after that kind of fault had begun. Choose one for a run to look at.'));
  const example = (index, heading) => {
    if (index === null) return [];
    const shown = map.examples[index];
    const link = pageLink(shown.page, {}, 'Open the run');
    return [el('div', { class: 'example' }, el('span', {}, `${heading}: ${shown.name} `), shown.page ? link : null, command(shown.replay))];
  };
  const tell = (row, column) => {
    const cell = map.cells[row][column];
    told.replaceChildren(el('p', {}, el('b', {}, place(row, column)), `: ${cameBack(cell)}.`),
      ...example(cell.stranded, 'Did not come back'), ...example(cell.slowest, 'Took longest'));
  };

  const buttons = map.cells.map((cells, row) => cells.map((cell, column) => {
    if (!cell) return null;
    const button = el('button', {
      type: 'button', tabindex: '-1', 'aria-label': `${place(row, column)}: ${cameBack(cell)}`, title: `${place(row, column)}: ${cameBack(cell)}`,
      onclick: () => tell(row, column),
      onfocus: () => { current.tabIndex = -1; current = button; button.tabIndex = 0; },
    });
    return button;
  }));
  const all = buttons.flat().filter(Boolean);
  let current = all[0];
  if (current) current.tabIndex = 0;
  const paint = (by) => map.cells.forEach((cells, row) => cells.forEach((cell, column) => { if (cell) paintCell(buttons[row][column], cell, by, longest); }));

  // One stop for the tab key; arrows go from cell to cell, over those where no run was.
  const go = (event) => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    let row = buttons.findIndex((cells) => cells.includes(event.target));
    if (row < 0) return;
    let column = buttons[row].indexOf(event.target);
    do { row += by[0]; column += by[1]; } while (buttons[row] && column >= 0 && column < buttons[row].length && !buttons[row][column]);
    if (buttons[row] && buttons[row][column]) buttons[row][column].focus();
  };

  const choice = (by, label, on) => el('button', {
    type: 'button', class: 'choice', 'aria-pressed': String(on),
    onclick: (event) => {
      event.target.parentNode.querySelectorAll('button').forEach((button) => button.setAttribute('aria-pressed', String(button === event.target)));
      paint(by);
    },
  }, label);
  const verdict = map.recovered === map.runs ? `all of ${counted(map.runs, 'run')} whole at the end` : `${thousands(map.recovered)} of ${counted(map.runs, 'run')} whole at the end`;
  const bad = map.must_recover && map.recovered < map.runs;
  const panel = el('div', { class: 'panel' },
    el('div', { class: 'map-head' },
      el('h3', {}, map.title), el('span', { class: bad ? 'verdict bad' : 'muted' }, verdict),
      el('span', { class: 'choices', role: 'group', 'aria-label': 'What a cell shows' }, choice('share', '% that came back', true), choice('time', 'seconds it took', false))),
    el('div', { class: 'scroll' }, el('table', { class: 'map', role: 'grid', 'aria-label': `Recovery map, ${map.title}`, onkeydown: go },
      el('thead', {}, el('tr', {}, el('td', { class: 'corner' }), ...map.columns.map((column) => el('th', { scope: 'col' }, el('span', {}, column))))),
      el('tbody', {}, ...map.rows.map((name, row) => el('tr', {}, el('th', { scope: 'row' }, name),
        ...buttons[row].map((button) => el('td', {}, button))))))),
    map.left_out ? el('p', { class: 'muted more' }, `${counted(map.left_out, 'state')} more; ironbird map --rows 0 shows all of them.`) : null,
    told);
  paint('share');
  return panel;
}
