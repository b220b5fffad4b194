/** Values in the order they came, and their quantiles. */
export class Samples {
  #values = new Float64Array(65_536)
  count = 0

  add(value: number): void {
    if (this.count === this.#values.length) {
      const larger = new Float64Array(this.count * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.count++] = value
  }

  summary(): Quantiles {
    const sorted = this.#values.slice(0, this.count).sort()
    const at = (part: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), count: this.count }
  }
}

export interface Quantiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  readonly count: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** The median of one field over all rounds. */
export const medianOf = <T>(rounds: readonly T[], field: (round: T) => number): number =>
  median(rounds.map(field))

export const whole = (value: number): string =>
  Number.isFinite(value) ? Math.round(value).toLocaleString('en').replaceAll(',', ' ') : 'n/a'
export const fixed = (value: number, digits: number): string =>
  Number.isFinite(value) ? value.toFixed(digits) : 'n/a'
/** The median, and in brackets the least and the most. */
export const spread = (values: readonly number[], show: (value: number) => string): string =>
  values.length < 2
    ? show(values[0] ?? Number.NaN)
    : `${show(median(values))} [${show(Math.min(...values))}–${show(Math.max(...values))}]`

/** A table that is also Markdown, so that it can be kept as it was printed. */
export function printTable(
  title: string,
  head: readonly string[],
  rows: readonly string[][],
): void {
  const widths = head.map((text, i) => Math.max(text.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  console.log(`\n### ${title}\n`)
  console.log(line(head))
  console.log(
    `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`,
  )
  for (const row of rows) console.log(line(row))
}
