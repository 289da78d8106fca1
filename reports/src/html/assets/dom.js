// Elements, made from text and never from markup.

const byId = (id) => document.getElementById(id);

/** An element; `on…` properties are listeners, children are elements or text. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A link that only ever leads to a page beside this one. */
function pageLink(page, properties, ...children) {
  return /^[\w][\w.-]*\.html(#[\w-]*)?$/.test(page || '')
    ? el('a', { href: page, ...properties }, ...children)
    : el('span', {}, ...children);
}

/** A command and a button that copies it. */
function command(text) {
  const button = el('button', { type: 'button', onclick: () => copy(text, button) }, 'Copy');
  return el('div', { class: 'command' }, el('code', { tabindex: '0' }, text), button);
}

function copy(text, button) {
  const label = button.textContent;
  const done = (word) => {
    button.textContent = word;
    setTimeout(() => { button.textContent = label; }, 1500);
  };
  // A page from a disk has no clipboard in some browsers; a selection always works.
  const byHand = () => {
    const area = el('textarea', { class: 'visually-hidden' });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    button.focus();
    done(copied ? 'Copied' : 'Press Ctrl+C');
  };
  if (navigator.clipboard && isSecureContext) navigator.clipboard.writeText(text).then(() => done('Copied'), byHand);
  else byHand();
}

/** The button that changes between light and dark; the choice stays as long as the browser lets it. */
function themeButton(changed) {
  const root = document.documentElement;
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : prefersDark.matches);
  try {
    const kept = localStorage.getItem('ironbird-theme');
    if (kept === 'dark' || kept === 'light') root.dataset.theme = kept;
  } catch { /* A page from a disk may have no storage. */ }
  const button = el('button', { type: 'button', class: 'theme' });
  const show = () => {
    button.textContent = isDark() ? 'Light' : 'Dark';
    changed();
  };
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    try { localStorage.setItem('ironbird-theme', root.dataset.theme); } catch { /* As above. */ }
    show();
  });
  prefersDark.addEventListener('change', show);
  show();
  return button;
}

const data = JSON.parse(byId('data').textContent);
