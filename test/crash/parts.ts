/** What the load is made of, beside plain commands; each can be left out. */
export const parts = [
  'lines',
  'aliases',
  'broadcasts',
  'schedules',
  'callbacks',
  'webhooks',
  'cancel',
  'collapse',
  'quota',
  'devices',
  'keys',
] as const

export type Part = (typeof parts)[number]
export type Parts = ReadonlySet<Part>

export const allParts: Parts = new Set(parts)

/** Names joined by commas; `all`, `none`. @returns the first word that is none of them. */
export function readParts(text: string): Parts | string {
  if (text === 'all') return allParts
  if (text === 'none') return new Set()
  const words = text.split(',')
  const unknown = words.find((word) => !parts.some((part) => part === word))
  return unknown ?? new Set(parts.filter((part) => words.includes(part)))
}
