/** What a script reads. */
export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

export const print = (text = ''): void => {
  process.stdout.write(`${text}\n`)
}

/** Columns wide enough for what is in them, two spaces apart. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

/** `12:00:00.123`, local time, of an RFC 3339 time. */
export function clockTime(at: string | number): string {
  const date = new Date(at)
  const two = (n: number): string => String(n).padStart(2, '0')
  const ms = String(date.getMilliseconds()).padStart(3, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`
}

/** A payload as the API gives it: JSON, or bytes in base64. */
export function payloadText(body: {
  readonly payload?: unknown
  readonly payloadBase64?: string
  readonly contentType?: string
}): string {
  if (body.payloadBase64 !== undefined)
    return `${body.contentType ?? 'bytes'} (base64) ${body.payloadBase64}`
  return body.payload === undefined || body.payload === null ? '' : JSON.stringify(body.payload)
}
