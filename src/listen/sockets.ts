import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Who is told what happens to a socket. */
export interface Attendant {
  received(chunk: Buffer): void
  /** They will send no more. */
  lost(): void
  /** There is room again. */
  drained(): void
  gone(): void
  /** A TLS handshake is done. */
  secured(): void
}

const attendant = Symbol('attendant')
type Attended = Duplex & { [attendant]?: Attendant }

/** One set of listeners for all sockets, so that an idle connection costs little more than its socket. */
export function attend(socket: Duplex, one: Attendant): void {
  const attended: Attended = Object.assign(socket, { [attendant]: one })
  attended.on('data', onData)
  attended.on('end', onEnd)
  attended.on('drain', onDrain)
  attended.on('error', onError)
  attended.on('close', onClose)
}

/** One that begins with a TLS handshake. */
export function attendHandshake(socket: Duplex): void {
  socket.on('secure', onSecure)
}

/**
 * RST, now: what lies in its buffers is dropped (rule 20). Node's `resetAndDestroy` would wait until
 * all of that is sent, throws where there is TLS, and may keep the handle for ever; the flag is what
 * it sets for itself. Under TLS it is the plain socket beneath that can be reset.
 */
export function hangUp(socket: Socket): void {
  const { _parent } = socket as { readonly _parent?: unknown }
  const carrier = _parent instanceof Socket ? _parent : socket
  // After our own FIN there is no reset, nor a need: we meant what we sent.
  if (!carrier.writableEnded) Object.assign(carrier, { resetAndClosing: true })
  socket.destroy()
}

/** On whoever an answer of HTTP goes to. */
export function hangUpOn({ socket }: { readonly socket: Socket | null }): void {
  if (socket !== null) hangUp(socket)
}

function onData(this: Attended, chunk: Buffer): void {
  this[attendant]?.received(chunk)
}
function onEnd(this: Attended): void {
  this[attendant]?.lost()
}
function onDrain(this: Attended): void {
  this[attendant]?.drained()
}
/** `close` follows, and says all there is to say. */
function onError(): void {}
function onClose(this: Attended): void {
  this[attendant]?.gone()
}
function onSecure(this: Attended): void {
  this[attendant]?.secured()
}
