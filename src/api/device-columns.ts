import { fieldRefusal, type Refusal } from './problems.ts'

/*
 * The columns of a CSV of devices, and what is said of a cell or a header that does not fit: which
 * row, which column, what was expected.
 */

export const attributePrefix = 'attributes.'
export const plainColumns: ReadonlySet<string> = new Set(['device', 'secret', 'disabled', 'tags'])
export const tagSeparator = ';'

const known = `${[...plainColumns].join(', ')} and ${attributePrefix}NAME`
/** Of text from outside that is said again. */
const shownMaxChars = 200

const isKnown = (name: string): boolean =>
  plainColumns.has(name) ||
  (name.startsWith(attributePrefix) && name.length > attributePrefix.length)

/** Why nothing can be read below this header; undefined: nothing is wrong with it. */
export function headerFault(header: readonly string[]): Refusal | undefined {
  const say = (path: string, message: string) => rowRefusal('the header row', path, message)
  if (header.length === 0) return say('', `is missing; columns are ${known}`)
  const stranger = header.find((name) => !isKnown(name))
  if (stranger !== undefined) {
    const hint =
      stranger.includes(';') || stranger.includes('\t') ? '; separate them by commas' : ''
    return say(
      pointer(stranger),
      `has the unknown column "${shortened(stranger)}"; columns are ${known}${hint}`,
    )
  }
  const twice = header.find((name, index) => header.indexOf(name) < index)
  if (twice !== undefined)
    return say(pointer(twice), `has the column "${shortened(twice)}" twice; each may be there once`)
  return header.includes('device')
    ? undefined
    : say('/device', `has no column "device", which every row needs; columns are ${known}`)
}

/** Where in the text, and what is wrong there. */
export function rowRefusal(where: string, path: string, message: string): Refusal {
  const { problem, said } = fieldRefusal('body', path, message)
  return { problem, said: { ...said, detail: `${where} ${message}` } }
}

/** What is wrong with the device a row became, by row and column. */
export function toldOfRow(row: number, refusal: Refusal): Refusal {
  const { errors } = refusal.said ?? {}
  if (errors === undefined) return refusal
  const told = errors.map(({ in: part, path, message }) => {
    const column = columnOf(path)
    const expected = column === 'disabled' ? 'must be true or false, or empty' : message
    const apart = column === 'tags' ? ` (tags are separated by ${tagSeparator})` : ''
    return { in: part, path, message: `${expected}${apart}`, column }
  })
  const list = told.map(({ column, message }) => `column ${column} ${message}`)
  return {
    ...refusal,
    said: { ...refusal.said, detail: `row ${row}, ${[...new Set(list)].join('; ')}`, errors: told },
  }
}

/** `/tags/0` is a part of the column `tags`, `/attributes.site` one of its own. */
const columnOf = (path: string): string =>
  (path.split('/')[1] ?? '').replaceAll('~1', '/').replaceAll('~0', '~')

const shortened = (text: string): string =>
  text.length > shownMaxChars ? `${text.slice(0, shownMaxChars)}…` : text

export const pointer = (name: string): string =>
  `/${shortened(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
