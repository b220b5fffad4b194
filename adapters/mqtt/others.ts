import type { DeviceId } from '../../src/contract/index.ts'
import { isIdentifier } from '../../src/contract/index.ts'
import { type Identity, inner, type Template } from './template.ts'

/** What a client says for another device than its own. */
export interface ForAnother<What> {
  readonly device: DeviceId
  readonly what: What
}

interface Other {
  readonly device: DeviceId
  /** The topic or filter as that device itself would say it. */
  readonly rest: string
  /** What was before that. */
  readonly prefix: string
}

/** What stands before the topics of a device that another speaks for. */
export const prefixOf = (device: DeviceId): string => `devices/${device}/`

/**
 * Which devices a topic or filter may be of that is not its client's own. Who may speak for whom is
 * not looked at here.
 *
 *     devices/box-1/events/opened     `events/opened` of box-1
 *     locker/box-1/cmd                of box-1, where a template is `locker/{device}/cmd`
 */
export function* others(
  who: Identity,
  text: string,
  templates: readonly (readonly Template[])[],
): Iterable<Other> {
  const levels = text.split('/')
  const [first, named] = levels
  if (first === 'devices' && named !== undefined && levels.length > 2 && isAnother(who, named)) {
    const prefix = prefixOf(named)
    yield { device: named, rest: text.slice(prefix.length), prefix }
  }
  for (const some of templates)
    for (const template of some)
      for (const { index, placeholder, prefix, suffix } of template.levels) {
        if (placeholder !== 'device') continue
        const device = inner(levels[index] ?? '', prefix, suffix)
        if (device !== undefined && isAnother(who, device)) yield { device, rest: text, prefix: '' }
      }
}

const isAnother = (who: Identity, device: string): boolean =>
  device !== who.device && isIdentifier(device)
