// The stretch of time that is in view.

const view = (() => {
  const least = 1000;
  // A little room at both ends, so that nothing sticks to the edge.
  const [start, end] = [-record.duration * 0.008, record.duration * 1.008];
  let [from, to] = [start, end];
  let width = 1;
  const set = (newFrom, newTo) => {
    const length = Math.min(Math.max(newTo - newFrom, least), end - start);
    from = Math.min(Math.max(newFrom, start), end - length);
    to = from + length;
  };
  return {
    get from() { return from; },
    get to() { return to; },
    get start() { return start; },
    get end() { return end; },
    get perPixel() { return (to - from) / width; },
    get isWhole() { return to - from >= (end - start) * 0.999; },
    resize(pixels) { width = Math.max(pixels, 1); },
    x: (us) => ((us - from) / (to - from)) * width,
    us: (x) => from + (x / width) * (to - from),
    set,
    whole() { set(start, end); },
    pan(us) { set(from + us, to + us); },
    zoom(factor, center = (from + to) / 2) { set(center - (center - from) * factor, center + (to - center) * factor); },
    /** Moves as little as shows `us` well within the view. */
    reveal(us) {
      const length = to - from;
      if (us < from + length * 0.05 || us > to - length * 0.05) set(us - length / 2, us + length / 2);
    },
    ticks() {
      const rough = (to - from) / Math.max(width / 110, 1);
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
      const ticks = [];
      for (let tick = Math.ceil(Math.max(from, 0) / step) * step; tick <= to; tick += step) ticks.push(tick);
      const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step / 1e6) - 1e-9)));
      return ticks.map((tick) => [tick, `${(tick / 1e6).toFixed(decimals)} s`]);
    },
  };
})();
