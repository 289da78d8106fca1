// Numbers as people read them, the same as in the terminal.

const thousands = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
const moment = (us) => `${Math.floor(us / 1e6)}.${String(Math.floor(us / 1e3) % 1e3).padStart(3, '0')} s`;
const seconds = (us) => `${(us / 1e6).toFixed(1)} s`;
const counted = (number, noun) => `${thousands(number)} ${noun}${number === 1 ? '' : 's'}`;

// Machines, in the order they are shown: after Okabe and Ito, told apart by colour-blind people too.
const HOST_COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#8268d6', '#a6761d', '#7f8c8d'];
const hostColor = (host) => HOST_COLORS[host % HOST_COLORS.length];
