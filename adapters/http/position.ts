import type { ChannelName, Epoch, Offset, Position } from '../../src/contract/index.ts'
import { isIdentifier, mainChannel, urgentChannel } from '../../src/contract/index.ts'
import { badField, type Refusal } from './problems.ts'

/** What is received where no channel is named. What is urgent goes first. */
export const defaultChannels: readonly ChannelName[] = [urgentChannel, mainChannel]

/**
 * A numbering, as a device is told and says back: the epoch, and the channel unless it is `main`.
 *
 *     711            of main
 *     711.urgent     of urgent
 *
 * A device that copies `epoch` and the last `offset` from one answer into the next request is always
 * understood, whichever channel they are of.
 */
export const numberingName = (channel: ChannelName, epoch: Epoch): string =>
  channel === mainChannel ? `${epoch}` : `${epoch}.${channel}`

/** @param otherwise the channel where none is named. */
export function readNumbering(
  text: string,
  otherwise: ChannelName,
): { readonly channel: ChannelName; readonly epoch: Epoch } | undefined {
  const match = /^([0-9]{1,10})(?:\.(.+))?$/.exec(text)
  if (match === null) return undefined
  const epoch = Number(match[1])
  const channel = match[2] ?? otherwise
  if (epoch > 0xffff_ffff || !isIdentifier(channel)) return undefined
  return { channel, epoch }
}

/** @returns undefined for what is none. */
export function readOffset(text: string): Offset | undefined {
  if (!/^[0-9]{1,16}$/.test(text)) return undefined
  const offset = Number(text)
  return Number.isSafeInteger(offset) ? offset : undefined
}

export type Positions = ReadonlyMap<ChannelName, Position>

/**
 * Where a device says it stands: `epoch=711&after=7`, or of more channels at once
 * `epoch=711,711.urgent&after=7,3`. Offset 0 says nothing.
 */
export function readPositions(
  epochs: string | undefined,
  afters: string | undefined,
  channels: readonly ChannelName[],
): { readonly positions: Positions; readonly first: ChannelName | undefined } | Refusal {
  const positions = new Map<ChannelName, Position>()
  if (afters === undefined || epochs === undefined || epochs === '') {
    if (afters === undefined || afters === '' || afters === '0')
      return { positions, first: undefined }
    return badField('query', 'epoch', 'goes with after: say both as the answer had them')
  }
  const names = epochs.split(',')
  const offsets = afters.split(',')
  if (names.length !== offsets.length)
    return badField('query', 'after', 'has to name as many offsets as epoch names epochs')
  if (names.length > channels.length)
    return badField('query', 'epoch', 'names more channels than this request receives')
  const [only] = channels
  const otherwise = channels.length === 1 ? only! : mainChannel
  let first: ChannelName | undefined
  for (let i = 0; i < names.length; i++) {
    const numbering = readNumbering(names[i]!, otherwise)
    if (numbering === undefined) return badField('query', 'epoch', 'is none that was given out')
    const offset = readOffset(offsets[i]!)
    if (offset === undefined) return badField('query', 'after', 'must be a whole number')
    const { channel, epoch } = numbering
    if (!channels.includes(channel))
      return badField('query', 'epoch', `is of ${channel}, which this request does not receive`)
    if (positions.has(channel)) return badField('query', 'epoch', `names ${channel} twice`)
    first ??= channel
    if (offset > 0) positions.set(channel, { epoch, offset })
  }
  return { positions, first }
}
