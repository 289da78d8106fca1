// The record: events in columns, and what led to what.

const record = (() => {
  const { step, us, host, kind, text, fields, strings, hosts, kinds } = data;
  const count = step.length;
  const causes = new Map();
  const effects = new Map();
  const link = (map, from, to) => {
    const known = map.get(from);
    if (known) known.push(to);
    else map.set(from, [to]);
  };
  /** The event with this step or the last one before it; -1 if there is none. */
  const indexOf = (wanted) => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (step[middle] <= wanted) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  for (const [cause, effect] of data.causes) {
    const [from, to] = [indexOf(cause), indexOf(effect)];
    link(effects, from, to);
    link(causes, to, from);
  }
  const messages = new Map(data.messages.map((message) => [indexOf(message[0]), message]));
  const violations = data.violations.map((violation) => {
    const index = indexOf(violation.step);
    // It is put down to a machine, or to the cluster and then shown where it was seen.
    const named = hosts.findIndex(([name]) => name === violation.host);
    return { ...violation, index, machine: named >= 0 ? named : host[index] };
  });
  const violated = new Set(violations.map((violation) => violation.index));
  return {
    count, step, us, host, kind, text, hosts, kinds, strings, indexOf, violations, violated, messages,
    time: (index) => us[index],
    hostName: (index) => hosts[host[index]][0],
    words: (index) => strings[text[index]],
    kindName: (index) => kinds[kind[index]],
    fields: (index) => {
      const json = strings[fields[index]];
      try { return Object.entries(JSON.parse(json)); } catch { return [['fields', json]]; }
    },
    causes: (index) => causes.get(index) || [],
    effects: (index) => effects.get(index) || [],
    /** The first event at this time or later. */
    at: (time) => {
      let [low, high] = [0, count];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (us[middle] < time) low = middle + 1;
        else high = middle;
      }
      return low;
    },
    duration: Math.max(data.duration, 1),
  };
})();
