import type { AppId, DeviceId } from '../../src/contract/index.ts'
import { isIdentifier } from '../../src/contract/index.ts'

/** Whose topics. */
export interface Identity {
  readonly app: AppId
  readonly device: DeviceId
}

/** One level of a template: text around at most one placeholder. */
export interface Level {
  readonly index: number
  readonly prefix: string
  readonly placeholder: string | undefined
  readonly suffix: string
}

/**
 * A topic with placeholders, cut into its levels.
 *
 *     locker/{device}/cmd      locker | {device} | cmd
 *     dev-{device}/{type}      dev-{device} | {type}, which takes all levels that follow too
 */
export interface Template {
  readonly text: string
  /** `failed=` before a reply's topic: what it says where its levels do not. */
  readonly status: string | undefined
  readonly levels: readonly Level[]
  /** Does it name the command? If not, its replies cannot either (rule 26). */
  readonly namesCommand: boolean
  /** Its last level without a placeholder: the type of events whose topic says none. */
  readonly lastWord: string
}

/** What stands for the placeholders of a topic. */
export interface Values {
  channel?: string
  type?: string
  id?: string
  status?: string
  reason?: string
  stamp?: string
}

const templateMaxLevels = 16
const templateMaxChars = 256

/** @returns what is wrong with it, as the rest of a sentence about it. */
export function compileTemplate(given: string, known: readonly string[]): Template | string {
  const match = known.includes('status') ? /^(done|failed|rejected)=(.*)$/s.exec(given) : null
  const status = match?.[1]
  const text = match?.[2] ?? given
  if (text === '' || text.length > templateMaxChars)
    return `must have 1 to ${templateMaxChars} characters`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
  if (/[+#\u0000-\u001f\u007f]/.test(text)) return 'must have no + and # and no control characters'
  if (text.startsWith('$')) return 'must not begin with $'
  const parts = text.split('/')
  if (parts.length > templateMaxLevels) return `must have at most ${templateMaxLevels} levels`
  const levels: Level[] = []
  const seen = new Set<string>()
  for (const [index, part] of parts.entries()) {
    const match = /^([^{}]*)(?:\{([a-z]+)\}([^{}]*))?$/.exec(part)
    if (match === null) return `must have at most one {placeholder} in each level; ${part} is wrong`
    const [, prefix = '', placeholder, suffix = ''] = match
    if (placeholder !== undefined) {
      if (!known.includes(placeholder)) return `has {${placeholder}}; known are ${known.join(', ')}`
      if (seen.has(placeholder)) return `has {${placeholder}} twice`
      seen.add(placeholder)
    }
    levels.push({ index, prefix, placeholder, suffix })
  }
  const words = levels.filter(({ placeholder }) => placeholder === undefined)
  const lastWord = words.at(-1)?.prefix || 'event'
  if (status !== undefined && seen.has('status')) return `says ${status}= and has {status}`
  return { text, status, levels, namesCommand: seen.has('id'), lastWord }
}

/** A level with who they are for filled in; other placeholders match nothing but a wildcard. */
export function levelText(
  { prefix, placeholder, suffix }: Level,
  who: Identity,
): string | undefined {
  if (placeholder === undefined) return prefix
  if (placeholder === 'device') return prefix + who.device + suffix
  return placeholder === 'app' ? prefix + who.app + suffix : undefined
}

/** @param topic the levels of a topic name. */
export function matchTemplate(
  { levels }: Template,
  who: Identity,
  topic: readonly string[],
): Values | undefined {
  if (topic.length < levels.length) return undefined
  const values: Values = {}
  for (const level of levels) {
    const { index, prefix, placeholder, suffix } = level
    let text = topic[index]!
    const fixed = levelText(level, who)
    if (fixed !== undefined) {
      if (text !== fixed) return undefined
      continue
    }
    // The type of an event may have slashes in it.
    const isRest = placeholder === 'type' && index === levels.length - 1
    if (isRest && topic.length > levels.length) text = topic.slice(index).join('/')
    if (text.length <= prefix.length + suffix.length) return undefined
    if (!text.startsWith(prefix) || !text.endsWith(suffix)) return undefined
    const value = text.slice(prefix.length, text.length - suffix.length)
    if (placeholder === 'channel' && !isIdentifier(value)) return undefined
    values[placeholder as keyof Values] = value
  }
  const last = levels.at(-1)!
  if (topic.length > levels.length && last.placeholder !== 'type') return undefined
  return values
}

/** What stands between the two. */
export const inner = (text: string, prefix: string, suffix: string): string | undefined =>
  text.length > prefix.length + suffix.length && text.startsWith(prefix) && text.endsWith(suffix)
    ? text.slice(prefix.length, text.length - suffix.length)
    : undefined
