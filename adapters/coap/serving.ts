import { randomBytes } from 'node:crypto'
import type { Intake, KeptCommand, StampedReply } from '../../src/contract/index.ts'
import { blockOf, szxMax } from './blocks.ts'
import { type Message, type Option, textOption, uintOption } from './codec.ts'
import { classOf, code, codeText, format, option } from './codes.ts'
import type { House } from './house.ts'
import type { CoapLink, Held } from './link.ts'
import type { Outgoing } from './messages.ts'
import { contentTypeOf } from './reports.ts'
import { type Composed, Sending, type SendingRecord } from './sending.ts'
import type { CoapSession } from './session.ts'

/** Its key among what a session sends by; no resource has a blank. */
export const serverResource = ' server'
const tokenBytes = 8
/** A datagram of 1,280 bytes holds it whatever its name. */
const payloadMaxBytes = 1_024
const headMaxBytes = 4 + tokenBytes + 64
/** Answers of one device that may be outstanding after its acknowledgements; the oldest go. */
const answersMax = 16

/** A request on its way, or acknowledged and not answered yet. */
interface Call {
  readonly link: CoapLink
  readonly held: Held
  answered: boolean
}

/**
 * A device that is a CoAP server: its commands are requests to it, from the address it made its session
 * at, and its answers are their replies.
 *
 *     POST commands/{name}?id=…&expires=… ─┬─ ACK ─▶ delivered
 *                                          ├─ 2.xx ─▶ done
 *                                          ├─ 4.xx ─▶ rejected
 *                                          ╰─ 5.xx ─▶ failed
 */
export class Serving extends Sending {
  /** By the token of the request. */
  readonly #calls = new Map<string, Call>()

  constructor(house: House, session: CoapSession, channels: readonly string[]) {
    super(house, session, serverResource, channels)
  }

  get record(): SendingRecord {
    const { resource } = this
    return { resource, token: '', szx: szxMax, ...(this.dormant && { dormant: true }) }
  }

  carries({ payload }: KeptCommand): boolean {
    return payload.length <= payloadMaxBytes
  }

  override stop(): void {
    super.stop()
    for (const token of this.#calls.keys()) this.house.uncall(token)
    this.#calls.clear()
  }

  /**
   * The device answers. `acknowledge` once that is kept.
   * @returns false: nothing of the kind was asked.
   */
  answered(message: Message, acknowledge: () => void): boolean {
    const token = message.token.toString('hex')
    const call = this.#calls.get(token)
    if (call === undefined) return false
    if (call.answered) return true // it is being kept
    call.answered = true
    const { link, held } = call
    const reply = replyOf(message)
    const { expect, id } = held.command
    const done = (): void => {
      acknowledge()
      this.#forget(token)
    }
    if (expect === 'ack' && reply.status === 'done' && reply.payload.length === 0) {
      link.acknowledged(held)
      done()
      this.next()
      return true
    }
    this.session.speak(
      (intake: Intake) =>
        intake.reply(id, reply, (outcome) => {
          if (outcome === 'unavailable' || outcome === 'stale') {
            call.answered = false // it comes again
            return
          }
          link.forget(id)
          done()
          this.next()
        }),
      () => {
        call.answered = false
      },
    )
    return true
  }

  protected compose(held: Held): Composed {
    const { command } = held
    const token = randomBytes(tokenBytes)
    const options: Option[] = [
      textOption(option.uriPath, 'commands'),
      textOption(option.uriPath, command.name),
      uintOption(
        option.contentFormat,
        command.contentType.startsWith('application/json') ? format.json : format.octets,
      ),
    ]
    for (const part of queryOf(held)) options.push(textOption(option.uriQuery, part))
    const payload = Buffer.from(command.payload)
    let bytesMax = headMaxBytes + payload.length
    for (const { value } of options) bytesMax += 3 + value.length
    return { outgoing: { code: code.post, token, options, payload }, bytesMax }
  }

  protected override sent(link: CoapLink, held: Held, { token }: Outgoing): void {
    const name = token.toString('hex')
    this.#calls.set(name, { link, held, answered: false })
    this.house.call(name, this)
    if (this.#calls.size <= answersMax) return
    for (const oldest of this.#calls.keys()) {
      this.#forget(oldest)
      return
    }
  }

  protected taken(link: CoapLink, held: Held): void {
    for (const call of this.#calls.values()) {
      // Its reply acknowledges it too, once that is kept.
      if (call.held === held && call.answered) return
    }
    link.acknowledged(held)
  }

  /** A server has no observation that could end: it notices at its next request. */
  protected tell(): void {}

  #forget(token: string): void {
    this.#calls.delete(token)
    this.house.uncall(token)
  }
}

function queryOf({ command, repeated }: Held): readonly string[] {
  const { id, expiresAtMs, delivery, expect } = command
  const parts = [`id=${id}`, `expires=${Math.floor(expiresAtMs)}`]
  if (delivery === 'now') parts.push('now')
  if (expect === 'reply') parts.push('reply')
  if (repeated) parts.push('again')
  return parts
}

function replyOf({ code: number, options, payload }: Message): StampedReply {
  const kind = classOf(number)
  const status = kind === 2 ? 'done' : kind === 4 ? 'rejected' : 'failed'
  const contentType = contentTypeOf(options) ?? 'application/octet-stream'
  const block = blockOf(options, option.block2)
  if (block !== undefined && (block === 'malformed' || block.more)) {
    // Half of an answer would be taken for the whole.
    return { status, reason: 'payload-too-large', payload: nothing, contentType }
  }
  const reason = kind === 2 ? undefined : codeText(number)
  return { status, payload, contentType, ...(reason !== undefined && { reason }) }
}

const nothing = Buffer.alloc(0)
