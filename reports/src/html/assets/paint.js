// The lanes and the overview, on canvases. What is drawn is told in words in the list of events.

const painter = (() => {
  const canvas = byId('lanes');
  const overview = byId('overview');
  let place = layout();
  let colors = {};

  const readColors = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['paper', 'panel', 'sunk', 'ink', 'muted', 'faint', 'line', 'accent', 'good', 'bad', 'bad-soft']) {
      colors[name] = style.getPropertyValue(`--${name}`).trim();
    }
    colors.ui = style.getPropertyValue('--ui');
  };

  const prepare = (element, height) => {
    const ratio = devicePixelRatio || 1;
    const width = element.clientWidth;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (element.width !== w || element.height !== h) [element.width, element.height] = [w, h];
    const context = element.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return [context, width];
  };

  const hatches = new Map();
  const hatch = (context, color) => {
    if (!hatches.has(color)) {
      const tile = document.createElement('canvas');
      tile.width = tile.height = 6;
      const pen = tile.getContext('2d');
      pen.strokeStyle = color;
      pen.lineWidth = 1.4;
      pen.beginPath();
      for (const offset of [-6, 0, 6]) { pen.moveTo(offset, 6); pen.lineTo(offset + 6, 0); }
      pen.stroke();
      hatches.set(color, context.createPattern(tile, 'repeat'));
    }
    return hatches.get(color);
  };

  const box = (context, x, y, width, height, radius = 3) => {
    context.beginPath();
    context.roundRect(x, y, width, height, Math.min(radius, width / 2, height / 2));
  };

  /** How each tone is filled: [what, how strong], hatched, a line on top for what takes writes. */
  const look = (tone, host) => {
    const own = host === null ? colors.muted : hostColor(host);
    switch (tone) {
      case 'held': case 'primary': return { fill: own, alpha: 1, writes: tone === 'primary' };
      case 'live': return { fill: own, alpha: 0.85 };
      case 'ttl': return { fill: own, alpha: 0.4 };
      case 'overdue': return { fill: own, alpha: 0.16, hatch: own, edge: own };
      case 'lock-delay': return { fill: colors.muted, alpha: 0.12, hatch: colors.muted };
      case 'fault': return { fill: colors.bad, alpha: 0.14, hatch: colors.bad, edge: colors.bad };
      case 'replica': return { fill: own, alpha: 0.26 };
      case 'replica-writable': return { fill: own, alpha: 0.26, writes: true };
      case 'read-only': case 'private': case 'starting': return { fill: colors.muted, alpha: tone === 'starting' ? 0.1 : 0.2 };
      case 'stuck': return { fill: own, alpha: 0.1, hatch: own, edge: own };
      case 'stuck-writable': return { fill: own, alpha: 0.1, hatch: own, edge: own, writes: true };
      case 'role': return { fill: own, alpha: 0.16 };
      case 'passing': return { fill: own, alpha: 0.75 };
      case 'critical': return { fill: colors.bad, alpha: 0.12, hatch: colors.bad };
      case 'seen': return { fill: own, alpha: 0.5 };
      default: return { fill: colors.muted, alpha: 0.1, hatch: colors.muted };
    }
  };

  const textOn = (style) => {
    if (style.alpha < 0.6 || !/^#[0-9a-f]{6}$/i.test(style.fill)) return colors.ink;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(style.fill.slice(at, at + 2), 16));
    return r * 0.299 + g * 0.587 + b * 0.114 > 140 ? '#14161a' : '#ffffff';
  };

  const drawSpan = (context, span, row, width, sort) => {
    const [from, to, tone, label, host] = span;
    const left = Math.max(view.x(from), -4);
    const right = Math.min(view.x(to), width + 4);
    if (right < 0 || left > width) return;
    const moment = from === to;
    const length = Math.max(right - left, moment ? 4 : 1.5);
    const style = look(tone, host);
    context.globalAlpha = style.alpha;
    context.fillStyle = style.fill;
    box(context, left, row.y, length, row.height);
    context.fill();
    if (style.hatch) {
      context.globalAlpha = 0.42;
      context.fillStyle = hatch(context, style.hatch);
      context.fill();
    }
    if (style.edge) {
      context.globalAlpha = 0.6;
      context.strokeStyle = style.edge;
      context.lineWidth = 1;
      context.stroke();
    }
    context.globalAlpha = 1;
    if (style.writes) {
      context.fillStyle = colors.ink;
      context.fillRect(left, row.y, length, 2.5);
    }
    if (row.height < 11) return;
    context.font = `${row.height > 18 ? 11.5 : 10.5}px ${colors.ui}`;
    context.textBaseline = 'middle';
    const start = Math.max(left, 0) + 5;
    // What happens in a moment says so beside itself.
    const room = moment && sort === 'faults' ? width - start : Math.min(right, width) - start - 4;
    if (room < 18) return;
    context.fillStyle = moment ? colors.bad : textOn(style);
    context.fillText(fitted(context, label, room), moment ? start + 4 : start, row.y + row.height / 2 + 0.5);
  };

  const fitted = (context, label, room) => {
    if (context.measureText(label).width <= room) return label;
    let [low, high] = [0, label.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${label.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    return low > 1 ? `${label.slice(0, low)}…` : '';
  };

  const KIND_HEIGHTS = { agent: 11, consul: 11, container: 13, fault: 13, run: 11, store: 8, write: 7, mysql: 7, http: 5 };

  const drawEvents = (context, width) => {
    const first = Math.max(record.at(view.from) - 1, 0);
    const last = record.at(view.to);
    // One mark a pixel and machine is all there is to see.
    const drawn = new Map();
    for (let index = first; index < last; index += 1) {
      if (!filter.isShown(index)) continue;
      const lane = place.byHost.get(record.host[index]);
      if (!lane) continue;
      const x = Math.round(view.x(record.us[index]));
      const kind = record.kindName(index);
      const height = KIND_HEIGHTS[kind] || 7;
      const key = record.host[index] * 65536 + x;
      if ((drawn.get(key) || 0) >= height) continue;
      drawn.set(key, height);
      context.globalAlpha = height > 8 ? 0.9 : 0.45;
      context.fillStyle = kind === 'fault' ? colors.bad : height > 8 ? colors.ink : colors.muted;
      context.fillRect(x - 0.75, lane.events.y + (EVENTS_HEIGHT - height) / 2, 1.5, height);
    }
    context.globalAlpha = 1;
    return [first, last, width];
  };

  const middle = (lane) => lane.events.y + EVENTS_HEIGHT / 2;

  const drawMessage = (context, message, strong) => {
    const [, from, to, sent, done] = message;
    const [source, target] = [place.byHost.get(from), place.byHost.get(to)];
    if (!source || !target) return;
    const [x1, x2] = [view.x(sent), view.x(done)];
    const [y1, y2] = [middle(source), middle(target)];
    context.strokeStyle = strong ? colors.accent : colors.muted;
    context.fillStyle = context.strokeStyle;
    context.globalAlpha = strong ? 1 : 0.45;
    context.lineWidth = strong ? 1.6 : 0.8;
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
    const angle = Math.atan2(y2 - y1, x2 - x1);
    context.beginPath();
    context.moveTo(x2, y2);
    context.lineTo(x2 - 6 * Math.cos(angle - 0.4), y2 - 6 * Math.sin(angle - 0.4));
    context.lineTo(x2 - 6 * Math.cos(angle + 0.4), y2 - 6 * Math.sin(angle + 0.4));
    context.fill();
    context.globalAlpha = 1;
  };

  /** Messages are drawn when they can be told apart. */
  const drawMessages = (context, first, last) => {
    const inView = [];
    for (let index = first; index < last && inView.length <= 400; index += 1) {
      const message = record.messages.get(index);
      if (message && filter.isShown(index)) inView.push(message);
    }
    if (inView.length <= 400 && (!view.isWhole || inView.length < 60)) {
      inView.forEach((message) => drawMessage(context, message, false));
    }
  };

  const drawLinks = (context, selected) => {
    const point = (index) => {
      const lane = place.byHost.get(record.host[index]);
      return lane && [view.x(record.us[index]), middle(lane)];
    };
    const here = point(selected);
    if (!here) return;
    const arc = (index, dashed) => {
      const there = point(index);
      if (!there) return;
      context.strokeStyle = colors.accent;
      context.setLineDash(dashed ? [3, 3] : []);
      context.lineWidth = 1.4;
      context.beginPath();
      context.moveTo(...there);
      const bend = there[1] === here[1] ? -26 : 0;
      context.quadraticCurveTo((there[0] + here[0]) / 2, (there[1] + here[1]) / 2 + bend, ...here);
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      context.arc(...there, 3, 0, Math.PI * 2);
      context.fillStyle = colors.accent;
      context.fill();
    };
    record.causes(selected).forEach((index) => arc(index, false));
    record.effects(selected).slice(0, 40).forEach((index) => arc(index, true));
    const message = record.messages.get(selected);
    if (message) drawMessage(context, message, true);
    context.beginPath();
    context.arc(...here, 5.5, 0, Math.PI * 2);
    context.strokeStyle = colors.panel;
    context.lineWidth = 5;
    context.stroke();
    context.strokeStyle = colors.accent;
    context.lineWidth = 2.5;
    context.stroke();
  };

  const drawGround = (context, width) => {
    place.lanes.forEach((lane) => {
      if (!lane.events) return;
      context.fillStyle = colors.sunk;
      context.globalAlpha = 0.55;
      box(context, -5, lane.y - 3, width + 10, lane.height + 6, 0);
      context.fill();
      context.globalAlpha = 1;
    });
    for (const [tick] of view.ticks()) {
      context.fillStyle = colors.line;
      context.fillRect(Math.round(view.x(tick)), 0, 1, place.height);
    }
    // Faults stand behind everything: dark where they hit, a line where they begin.
    for (const track of data.tracks.filter((candidate) => candidate.sort === 'faults')) {
      for (const [from, to, , , host] of track.rows.flatMap(([, spans]) => spans)) {
        const [left, right] = [view.x(from), view.x(to)];
        context.fillStyle = colors.bad;
        context.globalAlpha = 0.05;
        context.fillRect(left, 0, right - left, place.height);
        const lane = host === null ? null : place.byHost.get(host);
        if (lane) {
          context.globalAlpha = 0.13;
          context.fillRect(left, lane.y - 3, Math.max(right - left, 1), lane.height + 6);
        }
        context.globalAlpha = 0.7;
        context.setLineDash([2, 3]);
        context.strokeStyle = colors.bad;
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(left, 0);
        context.lineTo(left, place.height);
        context.stroke();
        context.setLineDash([]);
        context.globalAlpha = 1;
      }
    }
  };

  const drawViolations = (context) => {
    for (const { us, machine } of record.violations) {
      const x = view.x(us);
      context.fillStyle = colors.bad;
      context.fillRect(x - 0.75, 0, 1.5, place.height);
      const lane = place.byHost.get(machine);
      context.beginPath();
      const y = lane ? middle(lane) : 8;
      context.moveTo(x, y - 8);
      context.lineTo(x + 8, y + 6);
      context.lineTo(x - 8, y + 6);
      context.closePath();
      context.fill();
      context.strokeStyle = colors.panel;
      context.lineWidth = 1.5;
      context.stroke();
    }
  };

  const drawAxis = () => {
    const [context, width] = prepare(byId('axis'), 34);
    context.font = `11px ${colors.ui}`;
    context.textBaseline = 'alphabetic';
    context.fillStyle = colors.muted;
    for (const [tick, label] of view.ticks()) {
      const x = view.x(tick);
      context.fillRect(Math.round(x), 28, 1, 6);
      const labelWidth = context.measureText(label).width;
      context.fillText(label, Math.max(Math.min(x - labelWidth / 2, width - labelWidth - 2), 2), 25);
    }
    for (const [us, label] of [[data.quiet, 'last fault ends'], [data.deadline, 'must be whole']]) {
      if (us <= 0 || us > view.to || us < view.from) continue;
      const x = view.x(us);
      context.fillStyle = colors.ink;
      context.beginPath();
      context.moveTo(x - 4, 0);
      context.lineTo(x + 4, 0);
      context.lineTo(x, 6);
      context.fill();
      const labelWidth = context.measureText(label).width;
      context.fillText(label, x + 9 + labelWidth > width ? x - 7 - labelWidth : x + 7, 10);
    }
  };

  const drawOverview = () => {
    const [context, width] = prepare(overview, 36);
    const span = view.end - view.start;
    const x = (us) => ((us - view.start) / span) * width;
    const bins = new Uint32Array(Math.ceil(width / 2) + 1);
    for (const index of filter.shown) bins[Math.floor(x(record.us[index]) / 2)] += 1;
    const most = Math.max(...bins, 1);
    context.fillStyle = colors.faint;
    bins.forEach((count, bin) => {
      if (count) {
        const height = 4 + 26 * Math.sqrt(count / most);
        context.fillRect(bin * 2, 36 - height, 1.5, height);
      }
    });
    context.fillStyle = colors.bad;
    for (const track of data.tracks.filter((candidate) => candidate.sort === 'faults')) {
      for (const [from, to] of track.rows.flatMap(([, spans]) => spans)) {
        context.globalAlpha = 0.18;
        context.fillRect(x(from), 0, Math.max(x(to) - x(from), 2), 36);
      }
    }
    context.globalAlpha = 1;
    for (const { us } of record.violations) {
      context.beginPath();
      context.moveTo(x(us), 9);
      context.lineTo(x(us) + 4, 1);
      context.lineTo(x(us) - 4, 1);
      context.fill();
      context.fillRect(x(us) - 0.5, 9, 1, 27);
    }
    const [left, right] = [x(view.from), x(view.to)];
    context.fillStyle = colors.paper;
    context.globalAlpha = 0.72;
    context.fillRect(0, 0, left, 36);
    context.fillRect(right, 0, width - right, 36);
    context.globalAlpha = 1;
    context.strokeStyle = colors.accent;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, Math.max(right - left - 1.5, 3), 34.5);
  };

  let pending = false;
  let selected = -1;
  const paint = () => {
    pending = false;
    canvas.style.height = `${place.height}px`;
    view.resize(canvas.clientWidth);
    const [context, width] = prepare(canvas, place.height);
    drawGround(context, width);
    for (const lane of place.lanes) {
      for (const row of lane.rows) row.spans.forEach((span) => drawSpan(context, span, row, width, lane.track.sort));
    }
    const [first, last] = drawEvents(context, width);
    drawMessages(context, first, last);
    drawViolations(context);
    if (selected >= 0) drawLinks(context, selected);
    drawAxis();
    drawOverview();
  };

  return {
    /** Draws anew before the next picture is shown. */
    refresh() {
      if (!pending) {
        pending = true;
        requestAnimationFrame(paint);
      }
    },
    paint,
    restyle() { hatches.clear(); readColors(); this.refresh(); },
    relayout() {
      place = layout();
      byId('gutter').replaceChildren(...gutter(place.lanes));
      byId('gutter').style.height = `${place.height}px`;
      this.refresh();
    },
    select(index) { selected = index; this.refresh(); },
    /** What is under a point: an event if there is one near, or else a span. */
    hit(x, y) {
      for (const lane of place.lanes) {
        if (lane.events && y >= lane.events.y - 2 && y <= lane.events.y + EVENTS_HEIGHT + 2) {
          const event = nearest(lane.track.host, x);
          if (event >= 0) return { event };
        }
        for (const row of lane.rows) {
          if (y < row.y || y > row.y + row.height + 1) continue;
          const span = row.spans.find(([from, to]) => x >= view.x(from) - 2 && x <= Math.max(view.x(to), view.x(from) + 4) + 1);
          if (span) return { span, track: lane.track, row };
        }
      }
      return null;
    },
  };

  function nearest(host, x) {
    const reach = view.perPixel * 7;
    const time = view.us(x);
    let best = -1;
    let distance = reach;
    let rank = -1;
    for (let index = record.at(time - reach); index < record.count && record.us[index] <= time + reach; index += 1) {
      if (record.host[index] !== host || !filter.isShown(index)) continue;
      const away = Math.abs(record.us[index] - time);
      const importance = (KIND_HEIGHTS[record.kindName(index)] || 7) + (record.violated.has(index) ? 100 : 0);
      if (importance > rank || (importance === rank && away < distance)) [best, distance, rank] = [index, away, importance];
    }
    return best;
  }
})();
