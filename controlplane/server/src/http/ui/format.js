// Figures for people.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A count; `–` if it is not known. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return value < 100_000 ? number.format(value) : scaled(value, 1000, ["", " k", " M", " G", " T"]);
}

/** How often in a second. */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 0.05 ? "<0.1" : count(value);
}

export function bytes(value) {
  return value === null || value === undefined ? "–" : scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

function scaled(value, step, units) {
  let nth = 0;
  while (value >= step && nth + 1 < units.length) [value, nth] = [value / step, nth + 1];
  return `${value < 10 && nth > 0 ? value.toFixed(1) : Math.round(value)}${units[nth]}`;
}

/** A round trip, from microseconds. */
export function trip(us) {
  if (us === null || us === undefined) return "–";
  return us < 1000 ? `${Math.round(us)} µs` : `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
}

/** A span, from milliseconds. */
export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(seconds / 86_400)} d`;
}

/** hh:mm:ss of this machine. */
export function clock(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleTimeString("en-GB");
}

export function day(time) {
  return `${new Date(time).toLocaleDateString("sv-SE")} ${clock(time)}`;
}
