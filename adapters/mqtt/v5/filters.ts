import type { Limits } from '../../../src/contract/index.ts'

/** Is it a topic filter at all? §4.7.1: wildcards stand alone in their level, `#` at the end. */
export function isFilter(filter: string): boolean {
  if (filter === '') return false
  const levels = filter.split('/')
  for (const [index, level] of levels.entries()) {
    if (level === '+') continue
    if (level === '#') return index === levels.length - 1
    if (level.includes('+') || level.includes('#')) return false
  }
  return true
}

export const isShared = (filter: string): boolean =>
  filter.startsWith('$share/') || filter.startsWith('$queue/')

/** Short enough to be held, and to be cut into its levels. */
export function isShort(topic: string, limits: Limits): boolean {
  const { mqttTopicMaxBytes, mqttTopicMaxLevels } = limits
  if (topic.length > mqttTopicMaxBytes || Buffer.byteLength(topic) > mqttTopicMaxBytes) return false
  let levels = 1
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) levels++
  return levels <= mqttTopicMaxLevels
}

/** Is a publish to this topic one for that filter? */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return wanted.length === levels.length
}
