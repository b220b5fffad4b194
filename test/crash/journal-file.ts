import { closeSync, openSync, writeSync } from 'node:fs'
import type { Journal } from './journal.ts'

const chunkChars = 1 << 20

/**
 * Everything seen, a JSON object a line: `{"run":0,"wire":{…}}`, the parts of the journal one after the
 * other. A long run is more than one string can hold.
 */
export function writeJournals(path: string, journals: readonly Journal[]): void {
  const file = openSync(path, 'w')
  try {
    let text = ''
    const write = (run: number, part: string, what: unknown): void => {
      text += `${JSON.stringify({ run, [part]: what }, setsAsArrays)}\n`
      if (text.length < chunkChars) return
      writeSync(file, text)
      text = ''
    }
    for (const [run, journal] of journals.entries())
      for (const [part, value] of Object.entries(journal))
        if (Array.isArray(value) || value instanceof Map)
          for (const one of value) write(run, part, one)
        else write(run, part, value)
    writeSync(file, text)
  } finally {
    closeSync(file)
  }
}

const setsAsArrays = (_: string, value: unknown): unknown =>
  value instanceof Set ? [...value] : value
