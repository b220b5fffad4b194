import { InvalidArgumentError } from 'commander'

/*
 * What people type, made into values; what does not fit is said before anything is asked.
 */

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgumentError(`that is no JSON; quote it for the shell, like '{"door":7}'`)
  }
}

export function parseObject(text: string): Record<string, unknown> {
  const value = parseJson(text)
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new InvalidArgumentError('that is no JSON object')
}

export function positive(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('use a number of seconds above 0')
  return value
}

export function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('use a whole number above 0')
  return value
}

export const oneOf =
  (...words: readonly string[]) =>
  (text: string): string => {
    if (!words.includes(text)) throw new InvalidArgumentError(`use ${words.join(', ')}`)
    return text
  }

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** A moment, as RFC 3339: `2026-11-21T09:00:00Z`, or from now: `+90s`, `+15m`, `+8h`, `+7d`. */
export function moment(text: string): string {
  const ahead = /^\+(\d+(?:\.\d+)?)([smhd])$/.exec(text)
  const ms =
    ahead === null
      ? Date.parse(text)
      : Date.now() + Number(ahead[1]) * unitSeconds[ahead[2]!]! * 1000
  if (!Number.isFinite(ms) || (ahead === null && !/^\d{4}-\d\d-\d\dT/.test(text)))
    throw new InvalidArgumentError(
      'use a time like 2026-11-21T09:00:00Z, or from now: +90s, +15m, +8h, +7d',
    )
  return new Date(ms).toISOString()
}

/** Of an option that may be given several times or as a list with commas. */
export const words = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text.split(',').filter((word) => word !== ''),
]
