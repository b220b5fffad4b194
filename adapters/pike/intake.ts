import type { Reason } from '../../src/contract/index.ts'
import type { PikeChannel } from './channel.ts'
import type { AuthFrame, CloseFrame, Frame, HelloFrame } from './frames.ts'

/** Where a connection stands; the picture is above `PikeProtocol`. */
export type State = 'hello' | 'opening' | 'open' | 'draining' | 'closed'

/** What a frame can do to a connection. */
export interface Intake {
  readonly state: State
  /** BATCH was agreed on. */
  readonly batches: boolean
  /** @returns undefined when there is none; where that is the client's mistake, it has been told. */
  channelFor(number: number, what: string): PikeChannel | undefined
  hello(frame: HelloFrame, raw: Uint8Array): void
  auth(frame: AuthFrame): void
  closed(frame: CloseFrame): void
  pinged(): void
  fail(reason: Reason, text?: string): void
}

/** One frame of a client, in whatever state the connection is. */
export function takeFrame(frame: Frame, raw: Uint8Array, to: Intake): void {
  switch (to.state) {
    case 'hello':
      if (frame.type === 'hello') to.hello(frame, raw)
      else to.fail('protocol-error', 'a connection begins with HELLO')
      return
    case 'opening':
      if (frame.type === 'auth') to.auth(frame)
      else if (frame.type === 'close') to.closed(frame)
      else to.fail('protocol-error', `${frame.type} before WELCOME`)
      return
    case 'open':
    case 'draining':
      takeOpen(frame, raw, to)
      return
    case 'closed':
      return
  }
}

function takeOpen(frame: Frame, raw: Uint8Array, to: Intake): void {
  switch (frame.type) {
    case 'event':
    case 'batch':
    case 'reply': {
      const channel = to.channelFor(frame.channelNumber, frame.type)
      // While going away they stay in the client's outbox, and go where it goes next.
      if (channel === undefined || to.state === 'draining') return
      if (frame.type === 'event') channel.event(frame)
      else if (frame.type === 'reply') channel.reply(frame)
      else if (to.batches) channel.batch(frame)
      else to.fail('protocol-error', 'BATCH was not agreed on')
      return
    }
    case 'ack':
      to.channelFor(frame.channelNumber, 'ack')?.acknowledge(frame.upTo)
      return
    case 'ping':
      to.pinged()
      return
    case 'pong':
      return // that it came was the answer
    case 'hello':
      to.hello(frame, raw)
      return
    case 'auth':
      to.auth(frame)
      return
    case 'close':
      to.closed(frame)
      return
    case 'unknown':
      if (frame.critical) to.fail('unsupported', `frame type ${frame.number}`)
      return
    case 'command':
    case 'epoch':
    case 'welcome':
    case 'goaway':
      to.fail('protocol-error', `${frame.type} from a client`)
  }
}
