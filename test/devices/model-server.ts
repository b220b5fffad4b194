import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Duplex } from 'node:stream'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import {
  type CommandFrame,
  capability,
  type Frame,
  type HelloFrame,
  type WelcomeFrame,
} from '../../adapters/pike/frames.ts'
import { checkProof, makeCredential, serverProof } from '../../src/secrets/secrets.ts'

const never = Number.POSITIVE_INFINITY

/** What a connection needs of its wire. */
export type AnyWire = Pick<Wire, 'client' | 'server' | 'leftBytes' | 'cut'>

/** Two ends of a wire that can be cut, with what is under way lost. */
export class Wire {
  readonly client: Duplex
  readonly server: Duplex
  /** Bytes still let through, both ways together, before the wire breaks. */
  leftBytes = never
  #broken = false
  #cut = false

  constructor() {
    const ends: Duplex[] = []
    const end = (other: number): Duplex =>
      new Duplex({
        read() {},
        write: (chunk: Buffer, _encoding, done) => {
          // A copy: in a real socket nobody shares memory. Arrives later: neither in this turn.
          const bytes = Buffer.from(chunk).subarray(0, this.#broken ? 0 : this.leftBytes)
          this.leftBytes -= bytes.length
          // From the first missing byte on nothing passes: a stream has no holes.
          this.#broken ||= bytes.length < chunk.length
          setImmediate(() => {
            if (!this.#cut && bytes.length > 0) ends[other]!.push(bytes)
            if (this.#broken) this.cut()
            done()
          })
        },
        final: (done) => {
          setImmediate(() => {
            if (!this.#cut) ends[other]!.push(null)
            done()
          })
        },
        destroy: (error, done) => {
          done(error)
          this.cut()
        },
      })
    this.client = end(1)
    this.server = end(0)
    ends.push(this.client, this.server)
  }

  cut(): void {
    if (this.#cut) return
    this.#cut = true
    for (const end of [this.client, this.server]) end.destroy()
  }
}

export interface Kept {
  readonly kind: 'event' | 'reply'
  readonly name: string
  readonly text: string
  readonly epoch: number
  readonly sequence: number
  readonly offset?: number
  readonly status?: string
  readonly reason?: string | undefined
}

type ModelCommand = Omit<CommandFrame, 'type' | 'channelNumber' | 'repeated'> & {
  readonly epoch: number
  /** On the server's clock; instead of a deadline that is the same in every session. */
  readonly expiresAtMs?: number
}

interface ModelChannel {
  epochs: { epoch: number; last: number }[]
  top: number
  cursor: number
  readonly commands: ModelCommand[]
  readonly acknowledged: Set<number>
  /** What a back end reads of each command, by offset: the first proof, whatever comes after it. */
  readonly outcomes: Map<number, 'delivered' | 'done' | 'failed' | 'rejected'>
  readonly kept: Kept[]
  readonly high: Map<number, number>
}

interface Open {
  readonly name: string
  readonly number: number
  uplinkEpoch: number
  sentUpTo: number
  toldEpoch: number
  readonly welcomeEpoch: number
  readonly welcomeMs: number
  window: number
}

/**
 * The gateway as a device sees it, as small as can be: mailboxes by offset and epoch, uplinks kept
 * once by stamp, all durable at once. What it is told by `settings` it does wrong or slowly.
 */
export class ModelServer {
  readonly secret: string
  readonly channels = new Map<string, ModelChannel>()
  readonly connections: ModelConnection[] = []
  /** Frames received, over all connections. */
  readonly received: Frame[] = []
  settings: {
    secret?: string
    welcome?: Partial<WelcomeFrame>
    keepaliveS?: number
    window?: number
    uplinkWindow?: number
    mute?: boolean
    silent?: boolean
    holdAcks?: boolean
    refuse?: { code: number; retryAfterS: number; text: string }
    capabilities?: number
    kdf?: 'hkdf' | 'scrypt'
    pongKeepaliveS?: number
  } = {}
  nowMs = () => 0

  constructor(secret = randomBytes(20).toString('base64url')) {
    this.secret = secret
  }

  channel(name: string): ModelChannel {
    let channel = this.channels.get(name)
    if (channel === undefined) {
      channel = {
        epochs: [{ epoch: 1 + (randomBytes(4).readUInt32BE() >>> 1), last: 0 }],
        top: 0,
        cursor: 0,
        commands: [],
        acknowledged: new Set(),
        outcomes: new Map(),
        kept: [],
        high: new Map(),
      }
      this.channels.set(name, channel)
    }
    return channel
  }

  /** For the client's `connect` option. */
  readonly connect = (): Duplex => {
    const wire = new Wire()
    this.connections.push(new ModelConnection(this, wire))
    return wire.client
  }

  /** For a wire of somebody else's. */
  accept(server: Duplex): void {
    const wire = { server, client: server, leftBytes: never, cut: () => server.destroy() }
    this.connections.push(new ModelConnection(this, wire))
  }

  get live(): ModelConnection | undefined {
    const last = this.connections.at(-1)
    return last?.ended === false ? last : undefined
  }

  submit(name: string, command: Partial<ModelCommand> = {}): number {
    const channel = this.channel(name)
    // Holes are allowed and must not matter.
    channel.top += 1 + (channel.top % 3 === 0 ? 2 : 0)
    const { epoch } = channel.epochs.at(-1)!
    channel.commands.push({
      epoch,
      offset: channel.top,
      deadlineMs: 60_000,
      name: 'open',
      payload: Buffer.from(`{"n":${channel.top}}`),
      binary: false,
      replyExpected: true,
      now: false,
      ...command,
    })
    this.live?.pump()
    return channel.top
  }

  /** As after a kill: what comes is numbered in a new epoch. */
  renumber(name: string): void {
    const channel = this.channel(name)
    channel.epochs.at(-1)!.last = channel.top
    channel.epochs.push({ epoch: 1 + (randomBytes(4).readUInt32BE() >>> 1), last: 0 })
  }
}

export class ModelConnection {
  ended = false
  readonly wire: AnyWire
  readonly hellos: HelloFrame[] = []
  readonly open = new Map<number, Open>()
  closedWith: (Frame & { type: 'close' }) | undefined
  readonly #server: ModelServer
  readonly #encoder = new FrameEncoder()
  readonly #decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  #hello: Uint8Array = new Uint8Array()
  #challenge: Uint8Array = new Uint8Array()
  #queue: Promise<void> = Promise.resolve()

  constructor(server: ModelServer, wire: AnyWire) {
    this.#server = server
    this.wire = wire
    wire.server.on('error', () => {})
    wire.server.on('close', () => {
      this.ended = true
    })
    wire.server.on('end', () => {
      this.ended = true
      wire.server.end()
    })
    wire.server.on('data', (chunk: Buffer) => {
      if (server.settings.silent === true) return
      const error = this.#decoder.push(chunk, (frame, raw) => {
        server.received.push(frame)
        if (frame.type === 'hello' && frame.channelNumber === 0) this.#hello = Buffer.from(raw)
        // One after the other: the proof is checked with a pause.
        this.#queue = this.#queue.then(() => this.#take(frame))
      })
      assert.equal(error, undefined)
    })
  }

  write(frame: Frame): void {
    if (!this.ended) this.wire.server.write(this.#encoder.encode(frame))
  }

  close(code: number, retryAfterS = 0, text = ''): void {
    this.write({ type: 'close', channelNumber: undefined, code, retryAfterS, text })
    this.ended = true
    this.wire.server.end()
  }

  /** Send what the windows allow. */
  pump(): void {
    if (this.ended) return
    for (const open of this.open.values()) {
      const channel = this.#server.channel(open.name)
      for (const command of channel.commands) {
        if (command.offset <= open.sentUpTo || channel.acknowledged.has(command.offset)) continue
        const out = channel.commands.filter(
          ({ offset }) =>
            offset <= open.sentUpTo && offset > channel.cursor && !channel.acknowledged.has(offset),
        )
        if (out.length >= open.window) break
        if (command.epoch !== open.toldEpoch) {
          open.toldEpoch = command.epoch
          this.write({ type: 'epoch', channelNumber: open.number, epoch: command.epoch })
        }
        open.sentUpTo = command.offset
        const { epoch, expiresAtMs, ...rest } = command
        const deadlineMs =
          expiresAtMs === undefined ? rest.deadlineMs : Math.max(0, expiresAtMs - open.welcomeMs)
        const channelNumber = open.number
        this.write({ type: 'command', ...rest, channelNumber, deadlineMs, repeated: false })
      }
    }
  }

  async #take(frame: Frame): Promise<void> {
    const { settings } = this.#server
    if (this.ended) return
    switch (frame.type) {
      case 'hello':
        this.hellos.push(frame)
        if (settings.refuse !== undefined) {
          const { code, retryAfterS, text } = settings.refuse
          return this.close(code, retryAfterS, text)
        }
        if (frame.channelNumber > 0) return this.#welcome(frame, new Uint8Array())
        this.#challenge = this.#encoder.encode({
          type: 'auth',
          channelNumber: 0,
          method: 'challenge',
          kdf:
            settings.kdf ?? ((frame.capabilities & capability.stretched) === 0 ? 'hkdf' : 'scrypt'),
          nonce: randomBytes(12),
        })
        this.wire.server.write(this.#challenge)
        return
      case 'auth': {
        assert.ok(frame.method === 'proof')
        const { device } = this.hellos[0]!
        const secret = settings.secret ?? this.#server.secret
        const credential = await makeCredential(secret, 'default', device)
        const transcript = Buffer.concat([this.#hello, this.#challenge])
        if (settings.secret === undefined)
          assert.ok(checkProof([credential], transcript, frame.proof) !== undefined)
        return this.#welcome(this.hellos[0]!, serverProof(credential.serverKey, transcript))
      }
      case 'event':
        if (frame.sequence !== undefined) this.#keep(frame.channelNumber, [frame])
        else this.#note(frame.channelNumber, frame)
        return
      case 'batch': {
        const { sequence, name, channelNumber } = frame
        const events = frame.payloads.map((payload, i) => ({
          type: 'event' as const,
          sequence: sequence + i,
          name,
          payload,
        }))
        return this.#keep(channelNumber, events)
      }
      case 'reply': {
        const open = this.open.get(frame.channelNumber)!
        const channel = this.#server.channel(open.name)
        const command = channel.commands.find(({ offset }) => offset === frame.offset)
        assert.equal(frame.epoch ?? open.welcomeEpoch, command?.epoch, 'a reply in a wrong epoch')
        if (!channel.outcomes.has(frame.offset)) channel.outcomes.set(frame.offset, frame.status)
        this.#keep(frame.channelNumber, [frame])
        channel.acknowledged.add(frame.offset)
        return this.pump()
      }
      case 'ack': {
        const open = this.open.get(frame.channelNumber)!
        assert.ok(frame.upTo <= open.sentUpTo, 'acknowledged what was not sent')
        reach(this.#server.channel(open.name), frame.upTo)
        return this.pump()
      }
      case 'ping':
        if (settings.mute !== true)
          this.write({ type: 'pong', keepaliveS: settings.pongKeepaliveS })
        return
      case 'close':
        this.closedWith = frame
        this.ended = true
        this.wire.server.end()
    }
  }

  #welcome(hello: HelloFrame, proof: Uint8Array): void {
    const { settings } = this.#server
    const channel = this.#server.channel(hello.channel)
    const { resume } = hello
    const span = channel.epochs.find(({ epoch }) => epoch === resume?.epoch)
    const last = span === channel.epochs.at(-1) ? channel.top : (span?.last ?? -1)
    const known = resume !== undefined && resume.offset <= last
    if (known) reach(channel, resume.offset)
    const { epoch } = channel.epochs.at(-1)!
    this.open.set(hello.channelNumber, {
      name: hello.channel,
      number: hello.channelNumber,
      uplinkEpoch: hello.uplinkEpoch,
      sentUpTo: channel.cursor,
      toldEpoch: epoch,
      welcomeEpoch: epoch,
      welcomeMs: this.#server.nowMs(),
      window: Math.min(hello.windowMax, settings.window ?? 16),
    })
    this.write({
      type: 'welcome',
      channelNumber: hello.channelNumber,
      capabilities: settings.capabilities ?? capability.batch | capability.bindings,
      proof,
      resumed: known ? 'resumed' : resume === undefined ? 'fresh' : 'tail-lost',
      epoch,
      offset: channel.cursor,
      uplinkKept: channel.high.get(hello.uplinkEpoch) ?? 0,
      keepaliveS: settings.keepaliveS ?? 240,
      frameMaxBytes: 65_536,
      windowMax: Math.min(hello.windowMax, settings.window ?? 16),
      uplinkWindowMax: settings.uplinkWindow ?? 64,
      bindingsMax: 64,
      timeMs: this.#server.nowMs(),
      connection: `c${this.#server.connections.length}`,
      reconnectBaseMs: 0,
      reconnectMaxMs: 0,
      extensions: [],
      ...settings.welcome,
    })
    if (hello.channelNumber === 0) {
      this.#encoder.bindingsMax = hello.bindingsMax
      this.#decoder.bindingsMax = 64
    }
    this.pump()
  }

  #keep(number: number, uplinks: readonly KeepFrame[]): void {
    const open = this.open.get(number)
    assert.ok(open !== undefined, 'an uplink on no channel')
    const channel = this.#server.channel(open.name)
    const epoch = open.uplinkEpoch
    for (const uplink of uplinks) {
      const sequence = uplink.sequence!
      if (sequence <= (channel.high.get(epoch) ?? 0)) continue
      channel.high.set(epoch, sequence)
      this.#note(number, uplink)
    }
    if (this.#server.settings.holdAcks === true) return
    this.write({ type: 'ack', channelNumber: number, upTo: uplinks.at(-1)!.sequence! })
  }

  #note(number: number, uplink: KeepFrame): void {
    const open = this.open.get(number)!
    this.#server.channel(open.name).kept.push({
      kind: uplink.type,
      name: uplink.name ?? '',
      text: Buffer.from(uplink.payload).toString(),
      epoch: open.uplinkEpoch,
      sequence: uplink.sequence ?? 0,
      ...(uplink.type === 'reply'
        ? { offset: uplink.offset!, status: uplink.status!, reason: uplink.reason }
        : {}),
    })
  }
}

/** The device has everything up to here. */
function reach(channel: ModelChannel, offset: number): void {
  channel.cursor = Math.max(channel.cursor, offset)
  for (const command of channel.commands)
    if (command.offset <= offset && !command.replyExpected && !channel.outcomes.has(command.offset))
      channel.outcomes.set(command.offset, 'delivered')
}

interface KeepFrame {
  readonly type: 'event' | 'reply'
  readonly sequence: number | undefined
  readonly name?: string
  readonly payload: Uint8Array
  readonly offset?: number
  readonly status?: string
  readonly reason?: string | undefined
}
