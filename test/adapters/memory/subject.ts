import type {
  Attached,
  Core,
  Downlink,
  Intake,
  Session,
  Stamp,
} from '../../../src/contract/index.ts'
import { checkSecret, kdfFor } from '../../../src/secrets/secrets.ts'
import type {
  AdapterSubject,
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
  Said,
} from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import { MemoryLink, MemorySource } from '../../support/world.ts'

/**
 * An adapter without bytes. The day it fails the exam, the core has learned a protocol.
 */
export const memoryAdapterSubject = (engine: EngineSubject): AdapterSubject => ({
  name: 'memory',
  engine,
  can: {
    posts: true,
    stamps: true,
    repliesById: true,
    sleeps: true,
    receivesUnacknowledged: true,
    acknowledgesOne: true,
  },
  async start(core) {
    return new MemoryDoor(core)
  },
})

class MemoryDoor implements Door {
  readonly core: Core
  readonly devices: MemoryDevice[] = []
  killed = false

  constructor(core: Core) {
    this.core = core
  }

  device(identity: Identity): ExamDevice {
    const device = new MemoryDevice(this, identity)
    this.devices.push(device)
    return device
  }

  async kill(): Promise<void> {
    this.killed = true
    for (const device of this.devices) device.cut()
  }

  async stop(): Promise<void> {
    await this.kill()
  }
}

let links = 0

class DeviceLink extends MemoryLink {
  readonly #device: MemoryDevice

  constructor(device: MemoryDevice) {
    super(`memory-${++links}`)
    this.#device = device
  }

  override deliver(downlink: Downlink) {
    return this.#device.arrives(this, downlink)
  }

  override probe(): boolean {
    queueMicrotask(() => this.#device.probed(this))
    return true
  }
}

interface Sending {
  readonly name: string
  readonly payload: Uint8Array
  readonly binary: boolean
  readonly sequence: number
  readonly kept: () => void
}

interface Attachment {
  readonly channel: string
  readonly link: DeviceLink
  readonly session: Session
  readonly inbox: Downlink[]
  readonly delivered: Map<string, number>
  acting: boolean
  held: Downlink[]
}

class MemoryDevice implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  #door: MemoryDoor
  readonly #identity: Identity
  readonly #positions = new Map<string, { epoch: number; offset: number }>()
  readonly #outbox: Sending[] = []
  #sequence = 0
  #attachments: Attachment[] = []
  #muted = false
  #stalled = false
  #holding = false
  #acknowledges = true

  constructor(door: MemoryDoor, identity: Identity) {
    this.#door = door
    this.#identity = identity
  }

  get attached(): boolean {
    return this.#attachments.length > 0 && this.#attachments.every(({ link }) => !link.isClosed)
  }

  move(door: Door): void {
    this.#door = door as MemoryDoor
  }

  async connect({ acknowledges = true } = {}): Promise<'attached' | 'refused'> {
    this.cut()
    this.#muted = false
    this.#acknowledges = acknowledges
    if (!(await this.#proves())) return 'refused'
    const { core } = this.#door
    const { app = 'default', device } = this.#identity
    for (const channel of ['main', 'urgent']) {
      const link = new DeviceLink(this)
      link.acknowledges = acknowledges
      const attached: Attached = await core.attach(link, {
        app,
        device,
        channel,
        // Who acknowledges by hand or not at all does not know where it stands.
        resumeFrom: acknowledges && !this.#holding ? this.#positions.get(channel) : undefined,
        uplinkEpoch: 1,
      })
      if (attached.kind === 'refused') {
        this.cut()
        return 'refused'
      }
      const { session } = attached
      const lists = { inbox: [], held: [], delivered: new Map<string, number>() }
      const one: Attachment = { channel, link, session, ...lists, acting: false }
      this.#attachments.push(one)
      if (channel === 'main') this.#resend(session)
      session.start()
    }
    return 'attached'
  }

  arrives(link: DeviceLink, downlink: Downlink): 'open' | 'full' {
    const one = this.#attachments.find((attachment) => attachment.link === link)
    // The first commands may come while connect() still runs: by then its attachment stands.
    if (one === undefined || this.#muted) return 'open'
    if (this.#stalled) {
      one.held.push(downlink)
      return 'full'
    }
    one.inbox.push(downlink)
    void this.#work(one)
    return 'open'
  }

  probed(link: DeviceLink): void {
    if (this.#muted) return
    this.#attachments.find((attachment) => attachment.link === link)?.session.touch()
  }

  event(name: string, payload: unknown): Promise<boolean> {
    const binary = payload instanceof Uint8Array
    const data = binary ? payload : Buffer.from(JSON.stringify(payload))
    return new Promise((resolve) => {
      this.#outbox.push({
        name,
        payload: data,
        binary,
        sequence: ++this.#sequence,
        kept: () => resolve(true),
      })
      const session = this.#attachments.find(({ channel }) => channel === 'main')?.session
      if (session !== undefined && !this.#muted) this.#send(session, this.#outbox.at(-1)!)
    })
  }

  post(name: string, payload: unknown, stamp?: Stamp): Promise<Said> {
    const data = Buffer.from(JSON.stringify(payload))
    const uplink = { name, payload: data, contentType: 'application/json', stamp }
    return this.#speak((intake, said) =>
      intake.receive('main', [uplink], (outcome) =>
        said(outcome === 'kept' || outcome === 'stale' ? outcome : 'refused'),
      ),
    )
  }

  reply(id: string, { status, reason, payload }: ExamReply, stamp?: Stamp): Promise<Said> {
    const data = Buffer.from(JSON.stringify(payload ?? null))
    const reply = { status, reason, payload: data, contentType: 'application/json', stamp }
    return this.#speak((intake, said) =>
      intake.reply(id, reply, (outcome) => said(outcome === 'unavailable' ? 'refused' : outcome)),
    )
  }

  async sleep(forMs: number): Promise<void> {
    const backAtMs = this.#door.core.clock.nowMs() + forMs
    for (const { session } of this.#attachments.splice(0)) session.detach(true, backAtMs)
  }

  hold(): void {
    this.#holding = true
  }

  acknowledge(id: string): void {
    for (const { session, delivered } of this.#attachments) {
      const offset = delivered.get(id)
      if (offset !== undefined) session.acknowledge(offset)
    }
  }

  async #proves(): Promise<boolean> {
    const { core } = this.#door
    const { app = 'default', device, secret } = this.#identity
    const verifier = await core.verifier(app, device, kdfFor(secret), 'memory')
    const fits = await checkSecret(verifier.credentials, app, device, secret)
    if (verifier.admits && fits !== undefined) return true
    core.wrongSecret(app, device, 'memory')
    return false
  }

  async #speak(say: (intake: Intake, said: (answer: Said) => void) => void): Promise<Said> {
    if (!(await this.#proves())) return 'refused'
    const admitted = await this.#door.core.admit(new MemorySource(this.#identity))
    if (admitted.kind === 'refused') return 'refused'
    const { intake } = admitted
    const said = await new Promise<Said>((resolve) => say(intake, resolve))
    intake.leave(true)
    return said
  }

  async drop(): Promise<void> {
    this.cut()
  }

  async leave(): Promise<void> {
    for (const { session } of this.#attachments.splice(0)) session.detach(true)
  }

  mute(): void {
    this.#muted = true
  }

  stall(): void {
    this.#stalled = true
  }

  unstall(): void {
    this.#stalled = false
    for (const one of this.#attachments) {
      one.inbox.push(...one.held.splice(0))
      void this.#work(one)
      one.session.drained()
    }
  }

  cut(): void {
    for (const { session } of this.#attachments.splice(0)) session.detach(false)
  }

  #resend(session: Session): void {
    const kept = session.uplinkKept
    while (this.#outbox.length > 0 && this.#outbox[0]!.sequence <= kept)
      this.#outbox.shift()!.kept()
    for (const uplink of this.#outbox) this.#send(session, uplink)
  }

  #send(session: Session, uplink: Sending): void {
    const { name, payload, binary, sequence } = uplink
    const contentType = binary ? 'application/octet-stream' : 'application/json'
    const stamp = { epoch: 1, sequence }
    session.receive([{ name, payload, contentType, stamp }], (outcome) => {
      if (outcome !== 'kept') return
      const at = this.#outbox.indexOf(uplink)
      if (at >= 0) this.#outbox.splice(at, 1)
      uplink.kept()
    })
  }

  async #work(one: Attachment): Promise<void> {
    if (one.acting) return
    one.acting = true
    for (;;) {
      const downlink = one.inbox.shift()
      if (downlink === undefined) break
      const { id, epoch, offset, name, payload, delivery, expect } = downlink.command
      const command = {
        id,
        channel: one.channel,
        name,
        payload,
        now: delivery === 'now',
        replyExpected: expect === 'reply',
      }
      this.received.push(command)
      if (this.#holding) {
        one.delivered.set(id, offset)
        continue
      }
      const reply = await this.act(command)
      if (!this.#attachments.includes(one)) return
      this.#positions.set(one.channel, { epoch, offset })
      if (!this.#acknowledges) {
        if (reply !== undefined) void this.reply(id, reply)
      } else if (reply === undefined) one.session.acknowledge(offset)
      else {
        const { status, reason } = reply
        const body = Buffer.from(JSON.stringify(reply.payload ?? null))
        one.session.reply(
          { epoch, offset, status, reason, payload: body, contentType: 'application/json' },
          () => {},
        )
      }
    }
    one.acting = false
  }
}
