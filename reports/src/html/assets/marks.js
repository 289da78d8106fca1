// Small pictures of many runs.

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
