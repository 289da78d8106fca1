// Where everything is drawn, from top to bottom.

const ROW_HEIGHTS = { faults: 18, lock: 22, sessions: 9, service: 17 };
const HOST_ROWS = { database: 20, role: 13, health: 6 };
const EVENTS_HEIGHT = 16;

function layout() {
  const lanes = [];
  let y = 6;
  let before = null;
  for (const track of data.tracks) {
    const isHost = track.sort === 'host';
    if (isHost && filter.isHostHidden(track.host)) continue;
    // A service has its name above its rows.
    if (track.sort === 'service') y += 18;
    else if (before !== null && (before !== track.sort || isHost)) y += before === track.sort ? 9 : 16;
    before = track.sort;
    const lane = { track, y, rows: [], events: null };
    for (const [label, spans] of track.rows) {
      const height = isHost ? HOST_ROWS[label] : ROW_HEIGHTS[track.sort];
      lane.rows.push({ label, spans, y, height });
      y += height + 2;
    }
    if (isHost) {
      lane.events = { y, height: EVENTS_HEIGHT };
      y += EVENTS_HEIGHT;
    }
    lane.height = y - lane.y;
    lanes.push(lane);
  }
  return { lanes, height: y + 8, byHost: new Map(lanes.filter((lane) => lane.events).map((lane) => [lane.track.host, lane])) };
}

/** Of a long key the end tells more than the beginning. */
const shortened = (title) => (title.length > 24 ? title.replace(/^(\w+ ).*\/([^/]+)$/, '$1…/$2') : title);

/** The names beside the lanes; a service's rows say what they show. */
function gutter(lanes) {
  return lanes.flatMap((lane) => {
    const { track } = lane;
    const name = el('div', { class: `lane-name ${track.sort}` });
    name.style.top = `${lane.y}px`;
    if (track.sort === 'host') {
      name.style.height = `${lane.height}px`;
      const dot = el('span', { class: 'dot' });
      dot.style.background = hostColor(track.host);
      name.append(dot, el('b', {}, track.title));
    } else if (track.sort === 'service' || track.sort === 'lock') {
      const rows = lane.rows.filter((row) => row.label).map((row) => {
        const label = el('div', { class: 'row-name', title: `${track.title}: ${row.label}` }, row.label === 'holder' ? shortened(track.title) : row.label);
        label.style.top = `${row.y}px`;
        label.style.lineHeight = `${row.height}px`;
        return label;
      });
      if (track.sort === 'lock') return rows;
      name.style.top = `${lane.y - 14}px`;
      name.append(`service ${track.title}`);
      return [name, ...rows];
    } else {
      name.append(track.title);
    }
    return [name];
  });
}
