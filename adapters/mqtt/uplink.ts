import type { Uplink } from '../../src/contract/index.ts'
import { contentTypeOf, own } from './payload.ts'
import type { Incoming } from './said.ts'

/** A publish as the core takes it. `once`: the name of one at QoS 2. */
export const uplinkOf = (name: string, message: Incoming, once: string | undefined): Uplink => ({
  name,
  payload: own(message.payload),
  contentType: message.contentType ?? contentTypeOf(message.payload),
  ...(message.stamp !== undefined && { stamp: message.stamp }),
  // Rule 17. At QoS 2 the packet id tells, where it is still known.
  ...(message.dup && message.stamp === undefined && { maybeRepeat: true }),
  ...(once !== undefined && { once }),
  ...(message.qos === 0 && { expendable: true }),
})
