/** Numbers as people read them. */

/** 1234567 bytes is "1.23 MB"; anything else is counted with its unit. */
export function quantity(value: number, unit: string): string {
  if (unit === "B") return bytes(value);
  const digits = value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${unit}`;
}

/** Decimal units, three significant digits. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** Parameters: 478584608768 is "479 B", 2330000 is "2.33 M". */
export function count(value: number): string {
  const units = ["", " K", " M", " B", " T"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit === 0 ? `${value}` : `${scaled.toPrecision(3)}${units[unit]}`;
}

/** Seconds as "45 s", "2:05 min" or "1:02 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)} h`;
}

/** Tokens a second, with digits for slow and fast machines alike. */
export function perSecond(value: number): string {
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} tok/s`;
}
