import type { Trail } from '../../src/contract/index.ts'
import type { Channels } from './channels.ts'
import type { Frame } from './frames.ts'
import { reasonOf } from './reasons.ts'

/**
 * One frame for the flight recorder. Proofs, secrets and nonces are left out. What belongs to no
 * channel is told of the first.
 */
export function traceFrame(way: 'in' | 'out', frame: Frame, bytes: number, on: Channels): void {
  const { trail } = on
  switch (frame.type) {
    case 'command':
      return // its channel tells, which knows more of it
    case 'ack': {
      const { upTo } = frame
      const seen = way === 'in' ? { offset: upTo } : { sequence: upTo }
      trailOf(frame.channelNumber, on).frame(way, 'ACK', bytes, seen)
      return
    }
    case 'event': {
      const { sequence, name, payload } = frame
      trailOf(frame.channelNumber, on).frame(way, 'EVENT', bytes, { sequence, name, payload })
      return
    }
    case 'reply': {
      const { sequence, epoch, offset, payload, status, reason } = frame
      const seen = { sequence, epoch, offset, payload, reason: status, about: reason }
      trailOf(frame.channelNumber, on).frame(way, 'REPLY', bytes, seen)
      return
    }
    case 'batch': {
      const { sequence, name, payloads } = frame
      const about = `${payloads.length} events`
      trailOf(frame.channelNumber, on).frame(way, 'BATCH', bytes, { sequence, name, about })
      return
    }
    case 'ping':
      trail.frame(way, 'PING', bytes)
      return
    case 'pong':
      trail.frame(way, 'PONG', bytes)
      return
    case 'hello':
      trail.frame(way, 'HELLO', bytes, {
        channel: short(frame.channel),
        about: short(frame.device),
      })
      return
    case 'auth':
      trail.frame(way, 'AUTH', bytes, { reason: frame.method })
      return
    case 'welcome': {
      const { epoch, offset, resumed } = frame
      trailOf(frame.channelNumber, on).frame(way, 'WELCOME', bytes, {
        epoch,
        offset,
        reason: resumed,
      })
      return
    }
    case 'epoch':
      trailOf(frame.channelNumber, on).frame(way, 'EPOCH', bytes, { epoch: frame.epoch })
      return
    case 'goaway':
      trail.frame(way, 'GOAWAY', bytes, { reason: reasonOf(frame.code) })
      return
    case 'close': {
      const seen = { reason: reasonOf(frame.code), about: short(frame.text) }
      const one = frame.channelNumber === undefined ? trail : trailOf(frame.channelNumber, on)
      one.frame(way, 'CLOSE', bytes, seen)
      return
    }
    case 'unknown':
      trail.frame(way, 'UNKNOWN', bytes)
  }
}

const trailOf = (number: number, on: Channels): Trail => on.get(number)?.trail ?? on.trail

/** What a peer says of itself, before anybody has looked at it. */
const short = (text: string): string => (text.length > 128 ? text.slice(0, 128) : text)
