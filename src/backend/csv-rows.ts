import { backendBounds } from './bounds.ts'

/**
 * Rows of CSV as they stand, without their line breaks, blank ones left out. A line break between
 * quotes belongs to its row; a quote written twice opens and closes again. Source: RFC 4180 §2.
 * LF, CR LF and CR alone end a row, as they do for the gateway.
 */
export async function* readCsvRows(
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let row = ''
  let quoted = false
  let first = true
  for await (const chunk of chunks) {
    let text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    // A byte order mark, as spreadsheets write it: a decoder takes it away, a string still has it.
    if (first && text !== '') {
      first = false
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    }
    let from = 0
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i)
      if (char === 0x22) quoted = !quoted
      else if ((char === 0x0a || char === 0x0d) && !quoted) {
        // Between CR and LF stands a blank row.
        const whole = row + text.slice(from, i)
        row = ''
        from = i + 1
        if (whole !== '') yield whole
      }
    }
    row += text.slice(from)
    if (row.length > backendBounds.textMaxChars)
      throw new Error('a row of CSV that never ends: is there a quote too many?')
  }
  if (row !== '') yield row
}
