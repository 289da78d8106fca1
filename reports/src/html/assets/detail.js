// One event: what it says, what led to it, what it led to.

const detail = (() => {
  const panel = byId('detail');
  let choose = () => {};

  const link = (index) => el(
    'li',
    {},
    el('a', { href: `#e${record.step[index]}`, onclick: (event) => { event.preventDefault(); choose(index); } },
      el('span', { class: 'time' }, moment(record.us[index])), ' ',
      el('b', {}, record.hostName(index)), ' ', record.words(index)),
  );

  const links = (heading, indices) => {
    if (!indices.length) return [];
    const more = indices.length - 12;
    return [
      el('h3', {}, heading),
      el('ul', {}, ...indices.slice(0, 12).map(link), more > 0 ? el('li', { class: 'muted' }, `and ${thousands(more)} more`) : null),
    ];
  };

  const value = (field) => (typeof field === 'string' ? field : JSON.stringify(field));

  return {
    onchoose(listener) { choose = listener; },
    show(index) {
      const broken = record.violations.filter((violation) => violation.index === index);
      const address = `#e${record.step[index]}`;
      const button = el('button', { type: 'button', onclick: () => copy(location.href.split('#')[0] + address, button) }, 'Copy link');
      panel.replaceChildren(
        el('div', { class: 'detail-head' },
          el('span', { class: 'mono muted' }, address), el('b', {}, moment(record.us[index])), el('span', {}, record.hostName(index)),
          el('span', { class: 'tag' }, record.kindName(index)), button),
        el('p', { class: 'sentence' }, record.words(index)),
        ...broken.map((violation) => el('p', { class: 'broken' }, el('b', {}, `▲ ${violation.property}: `), violation.detail)),
        ...links('Because of', record.causes(index)),
        ...links('Led to', record.effects(index)),
        el('h3', {}, 'Fields'),
        el('dl', { class: 'fields' }, ...record.fields(index).flatMap(([name, field]) => [el('dt', {}, name), el('dd', {}, value(field))])),
      );
      byId('spoken').textContent = `Event ${record.step[index]}, ${moment(record.us[index])}, ${record.hostName(index)}: ${record.words(index)}`
        + broken.map((violation) => `. Violation of ${violation.property}: ${violation.detail}`).join('');
    },
  };
})();
