import { DeviceChannel, makeEpoch } from './channel.ts'
import { toPayload } from './command.ts'
import type { Answer } from './downlink.ts'
import type { DeviceLimits } from './limits.ts'
import type { SendFailure, Sent } from './outbox.ts'
import type { DeviceStorage, StorageChange, StoredDevice, Uplink } from './storage.ts'

/**
 * A client's channels and their storage: nothing is promised or sent before it is stored.
 *
 *     load ──▶ channels ──▶ keep (uplink, position) ──▶ stored: it may be sent, acknowledged
 *                 ▲                  │ error
 *                 └──── load ◀── nothing: what is in memory is void, the storage knows
 */
export class Keeper {
  /** In the order of their numbers; empty until loaded. */
  channels: readonly DeviceChannel[] = []
  readonly #storage: DeviceStorage
  readonly #names: readonly string[]
  readonly #limits: DeviceLimits
  readonly #loaded: () => void
  readonly #failed: (error: Error) => void
  #loading = false
  /** Wait for the load to be over; in order. */
  #waiting: { run: () => void; settle: ((sent: Sent) => void) | undefined }[] = []

  constructor(options: {
    readonly storage: DeviceStorage
    readonly names: readonly string[]
    readonly limits: DeviceLimits
    loaded(): void
    failed(error: Error): void
  }) {
    this.#storage = options.storage
    this.#names = options.names
    this.#limits = options.limits
    this.#loaded = options.loaded
    this.#failed = options.failed
  }

  get ready(): boolean {
    return this.channels.length > 0
  }

  find(name: string): DeviceChannel | undefined {
    for (const channel of this.channels) if (channel.name === name) return channel
    return undefined
  }

  load() {
    if (this.#loading) return
    this.#loading = true
    try {
      const device = this.#storage.load()
      if (device instanceof Map) return this.#begin(device)
      device.then(
        (loaded) => this.#begin(loaded),
        (error) => this.#fail(error),
      )
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Run once loaded, or when that has failed. @returns false when too many wait already.
   * @param settle is told of a stop meanwhile, like those whose uplinks are in an outbox.
   */
  whenLoaded(run: () => void, settle: (sent: Sent) => void): boolean {
    if (this.ready) run()
    else if (this.#waiting.length < this.#limits.outboxMaxMessages)
      this.#waiting.push({ run, settle })
    else return false
    return true
  }

  /** Tell everybody who still waits; what is stored, or will be once loaded, stays stored. */
  settleAll(sent: Sent): void {
    for (const { outbox } of this.channels) outbox.settleAll(sent)
    for (const { settle } of this.#waiting) settle?.(sent)
  }

  /** Store an uplink, together with what must change with it; then it may be sent. */
  keep(
    channel: DeviceChannel,
    uplink: Uplink,
    settle: (sent: Sent) => void,
    changes: StorageChange[],
    stored: () => void,
  ): void {
    const { outbox } = channel
    const { uplinkEpoch } = outbox
    const { sequence } = uplink
    outbox.add({ uplink, settle, writtenAtMs: 0 })
    changes.push({ kind: 'uplink', channel: channel.name, uplink })
    this.change(channel, changes, () => {
      if (outbox.uplinkEpoch === uplinkEpoch) outbox.stored(sequence)
      stored()
    })
  }

  /**
   * Store a reply, with the position that moves with it.
   * @returns why the reply cannot be kept; the changes are stored all the same, save after `storage`.
   */
  keepAnswer(
    channel: DeviceChannel,
    { command, reply, settle }: Answer,
    changes: StorageChange[],
    stored: () => void,
  ): SendFailure | undefined {
    // The storage failed meanwhile and was loaded anew: this channel's numbers are void.
    if (this.find(channel.name) !== channel) return 'storage'
    const data = toPayload(reply.payload)
    const { status, reason } = reply
    let failure: SendFailure | undefined
    if (data === undefined) failure = 'invalid'
    else if (this.tooLarge(reason ?? '', data.bytes)) failure = 'too-large'
    else if (!channel.outbox.room('reply', data.bytes.length)) failure = 'outbox-full'
    if (data === undefined || failure !== undefined) {
      if (changes.length > 0) this.change(channel, changes, stored)
      return failure
    }
    const { epoch, offset } = command
    const sequence = channel.outbox.nextSequence
    const { bytes: payload, binary } = data
    const uplink: Uplink = {
      ...{ kind: 'reply', sequence, epoch, offset, status, reason, payload, binary },
      ...(status === 'rejected' && !command.replyExpected ? { unasked: true } : {}),
    }
    this.keep(channel, uplink, settle, changes, stored)
    return undefined
  }

  /** @param text the name of an event or the reason of a reply. */
  tooLarge(text: string, payload: Uint8Array): boolean {
    const { payloadMaxBytes, nameMaxBytes } = this.#limits
    return payload.length > payloadMaxBytes || Buffer.byteLength(text) > nameMaxBytes
  }

  change(channel: DeviceChannel, changes: readonly StorageChange[], stored: () => void): void {
    // An application that acted while the storage failed: what was loaded since may be further on.
    if (this.find(channel.name) !== channel) return
    this.#storage.commit(changes, (error) => {
      if (this.find(channel.name) !== channel) return
      if (error === undefined) stored()
      else this.#fail(error)
    })
  }

  /** For what may be lost in a crash without harm. */
  note(change: StorageChange): void {
    this.#storage.commit([change])
  }

  /** The server knows sequences that we do not: what it would take for repeats gets new numbers. */
  renumber(channel: DeviceChannel, stored: () => void): void {
    const uplinkEpoch = makeEpoch()
    const uplinks = channel.outbox.renumber(uplinkEpoch)
    const { name } = channel
    const changes: StorageChange[] = [{ kind: 'epoch', channel: name, uplinkEpoch }]
    for (const uplink of uplinks) changes.push({ kind: 'uplink', channel: name, uplink })
    this.change(channel, changes, () => {
      if (channel.outbox.uplinkEpoch === uplinkEpoch) channel.outbox.stored(uplinks.length)
      stored()
    })
  }

  async close(): Promise<void> {
    // What is being loaded would open again what is closed now.
    if (this.#loading)
      await new Promise<void>((run) => this.#waiting.push({ run, settle: undefined }))
    await this.#storage.close()
  }

  #begin(device: StoredDevice): void {
    const changes: StorageChange[] = []
    const channels = this.#names.map((name, number) => {
      let stored = device.get(name)
      if (stored === undefined) {
        stored = { uplinkEpoch: makeEpoch(), lastSequence: 0, positions: [], outbox: [] }
        changes.push({ kind: 'epoch', channel: name, uplinkEpoch: stored.uplinkEpoch })
      }
      return new DeviceChannel(name, number, stored, this.#limits)
    })
    // The numbering must be durable before anything is numbered in it.
    this.#storage.commit(changes, (error) => {
      if (error !== undefined) return this.#fail(error)
      this.#loading = false
      this.channels = channels
      this.#release()
      this.#loaded()
    })
  }

  #fail(error: unknown): void {
    const channels = this.channels
    this.#loading = false
    this.channels = []
    for (const channel of channels) {
      channel.lost()
      channel.outbox.settleAll({ kind: 'failed', reason: 'storage' })
    }
    this.#release()
    this.#failed(error instanceof Error ? error : new Error(String(error)))
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { run } of waiting) run()
  }
}
