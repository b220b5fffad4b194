import type { Trail } from '../../src/contract/index.ts'
import { byPlace } from '../../src/contract/index.ts'
import { codeText } from './codes.ts'
import type { Exchange, Response } from './exchange.ts'
import type { Held } from './link.ts'
import type { Fate } from './transmissions.ts'

/*
 * Messages for the flight recorder. The path of a request begins with the token of its session, which
 * is a secret: it is left out.
 */

const methods = ['EMPTY', 'GET', 'POST', 'PUT', 'DELETE'] as const
const texts = Array.from({ length: 256 }, (_, code) => codeText(code))

export function traceRequest(trail: Trail, exchange: Exchange, path: readonly string[]): void {
  const { code, messageId, payload } = exchange.message
  const [kind, id] = path.slice(2)
  trail.frame('in', methods[code] ?? texts[code]!, exchange.bytes, {
    sequence: messageId,
    name: kind === undefined ? 'session' : kind === 'replies' ? kind : path.slice(2).join('/'),
    command: kind === 'replies' ? id : undefined,
    payload: payload.length === 0 ? undefined : payload,
  })
}

export function traceAnswer(trail: Trail, { messageId }: { messageId: number }, one: Response) {
  trail.frame('out', texts[one.code] ?? 'ANSWER', 0, { sequence: messageId })
}

/** @param type `CON`: a message of its own; else the code of the answer that brings it. */
export function traceCommand(trail: Trail, type: string, { command, repeated }: Held): void {
  const { id, epoch, offset, name, payload } = command
  const reason = repeated ? 'repeated' : undefined
  const known = command.notBeforeMs === undefined ? byPlace : id
  trail.frame('out', type, 0, { command: known, epoch, offset, name, payload, reason })
}

/** What became of a command that was sent as a message of its own. */
export function traceFate(trail: Trail, fate: Fate, { command }: Held): void {
  const { id, epoch, offset, notBeforeMs } = command
  const seen = { command: notBeforeMs === undefined ? byPlace : id, epoch, offset }
  if (fate === 'ack') trail.frame('in', 'ACK', 4, seen)
  else if (fate === 'rst') trail.frame('in', 'RST', 4, seen)
  else trail.note('given-up', { ...seen, reason: String(fate) })
}
