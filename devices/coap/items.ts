/** A command as the gateway says it, checked. */
export interface Item {
  readonly id: string
  readonly device: string
  readonly channel: string
  readonly epoch: number
  readonly offset: number
  readonly name: string
  readonly expiresAtMs: number
  readonly binary: boolean
  readonly now: boolean
  readonly replyExpected: boolean
  readonly repeated: boolean
  readonly payload: Buffer
}

const placePattern = /^([0-9a-z]{1,7}):([1-9][0-9]{0,15})$/

/** One line and the payload, as in docs/coap.md. undefined: it is no command. */
export function readItem(body: Buffer): Item | undefined {
  const end = body.indexOf(10)
  if (end === -1) return undefined
  const fields = new URLSearchParams(body.toString('utf8', 0, end))
  const id = fields.get('id') ?? ''
  const name = fields.get('name')
  const expiresAtMs = Number(fields.get('expires') ?? Number.NaN)
  const [device, channel, ...rest] = id.split(':')
  // The id says where a command lies, unless it was scheduled.
  const place = placePattern.exec(fields.get('at') ?? rest.join(':'))
  if (place === null || name === null || channel === undefined || Number.isNaN(expiresAtMs))
    return undefined
  const offset = Number(place[2])
  const epoch = Number.parseInt(place[1]!, 36)
  // What has no place cannot be told from what came before.
  if (!Number.isSafeInteger(offset) || epoch < 1) return undefined
  return {
    id,
    device: device!,
    channel,
    epoch,
    offset,
    name,
    expiresAtMs,
    binary: fields.get('type')?.startsWith('application/json') === false,
    now: fields.has('now'),
    replyExpected: fields.has('reply'),
    repeated: fields.has('again'),
    payload: body.subarray(end + 1),
  }
}
