// Which events are shown.

const filter = (() => {
  const hidden = { hosts: new Set(), kinds: new Set() };
  let query = '';
  let shown = [];
  let isShown = new Uint8Array(record.count);

  const apply = () => {
    const words = query.trim().toLowerCase();
    // Strings repeat: each is searched once, however many events say it.
    const found = words ? record.strings.map((string) => string.toLowerCase().includes(words)) : null;
    const foundHost = words ? record.hosts.map(([name]) => name.toLowerCase() === words) : null;
    const step = /^#?e?(\d+)$/.exec(words);
    shown = [];
    isShown = new Uint8Array(record.count);
    for (let index = 0; index < record.count; index += 1) {
      if (hidden.hosts.has(record.host[index]) || hidden.kinds.has(record.kind[index])) continue;
      if (found && !found[record.text[index]] && !found[data.fields[index]] && !foundHost[record.host[index]]
        && !(step && record.step[index] === Number(step[1]))) continue;
      isShown[index] = 1;
      shown.push(index);
    }
  };
  apply();

  return {
    get shown() { return shown; },
    get query() { return query; },
    get active() { return shown.length !== record.count; },
    isShown: (index) => isShown[index] === 1,
    isHostHidden: (host) => hidden.hosts.has(host),
    toggle(sort, value) {
      if (!hidden[sort].delete(value)) hidden[sort].add(value);
      apply();
    },
    search(text) { query = text; apply(); },
    reset() { hidden.hosts.clear(); hidden.kinds.clear(); query = ''; apply(); },
    /** Where the first shown event at or after `index` is in the list of the shown. */
    position(index) {
      let [low, high] = [0, shown.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (shown[middle] < index) low = middle + 1;
        else high = middle;
      }
      return low;
    },
  };
})();
