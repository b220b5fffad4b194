import type { Clock } from './clock.ts'
import type { AppId, ChannelName, DeviceId } from './ids.ts'
import type { Limits } from './limits.ts'
import type { Attached, Hello, Link, Pulse, Silence } from './link.ts'
import type { Credential } from './names.ts'
import type { Recorder } from './recorder.ts'
import type { Shelf } from './shelf.ts'
import type { Admitted, Source } from './source.ts'

/** What the core offers to adapters; all they ever see of it. */
export interface Core {
  readonly clock: Clock
  readonly limits: Limits
  /**
   * What a device may prove itself against. Never says who exists: an unknown or disabled device
   * walks the same path with made-up keys and `admits` false (`rules.md` 31), and so does one that
   * has no secret of this kdf. `limited`: too many wrong secrets lately from this address or for
   * this device; refuse without looking.
   *
   * @param kdf as the device's secret needs it: what the device says, or `kdfFor` of a bare secret.
   * Never looked up: during a rotation both may be valid, and the answer would tell who exists.
   */
  verifier(app: AppId, device: DeviceId, kdf: Credential['kdf'], peer: string): Promise<Verifier>
  /** A proof failed: counts towards the limit. */
  wrongSecret(app: AppId, device: DeviceId, peer: string): void
  /**
   * May this device, which has proved itself, speak for another one of its app? Its links and sources
   * then name it as `via`. False also where there is no such device: nobody learns who exists.
   */
  grants(app: AppId, gateway: DeviceId, device: DeviceId): Promise<boolean>
  /** Trade a link for a session. The device must have proved itself. */
  attach(link: Link, hello: Hello): Promise<Attached>
  /** Let a device speak that may receive by another way, or not at all. It must have proved itself. */
  admit(source: Source): Promise<Admitted>
  /**
   * How long a device may be silent, for an adapter that watches its silence itself and can tell it
   * now, at its connect. undefined: its record says no `class`, so it is for the device to say. What
   * its older connection left is judged by this call. Never rejects.
   */
  pulse(app: AppId, device: DeviceId, silence: Silence): Promise<Pulse | undefined>
  /**
   * How many commands wait for a device, on one of its channels or on all, for hints to a device that
   * does not receive at the moment. 0: all that is open it has already got. Else those that are open,
   * so some of them may owe a reply only. Cheap. Never rejects: what cannot be read says 0.
   */
  waiting(app: AppId, device: DeviceId, channel?: ChannelName): Promise<number>
  /** Small records an adapter keeps over restarts, under `adapters/<its name>/`. */
  readonly shelf: Shelf
  /** Tell it of every connection, and what goes over it. */
  readonly recorder: Recorder
}

export interface Verifier {
  readonly admits: boolean
  readonly limited: boolean
  /** At least one, the newest first. All of the kdf asked for. */
  readonly credentials: readonly Credential[]
}

/** One protocol, from listening socket to `Core.attach`. Exam: test/exams/adapter.exam.ts. */
export interface Adapter {
  /** Lower case, as in configuration and logs: `pike`, `mqtt`, `coap`, `http`. */
  readonly name: string
  /** Resolves when devices can connect, with where. Rejects when an address cannot be bound. */
  start(core: Core): Promise<readonly Listener[]>
  /**
   * Send away some of those connected, at most `max`, each told to come back at a moment of its own
   * within `spreadMs`; what they have said is kept and answered first. @returns how many: those sent
   * away before are not among them, and 0 says that nobody is left to be told.
   */
  sendAway?(max: number, spreadMs: number): number
  /** The gateway stays after all: whoever was sent away without being told goes on. */
  stays?(): void
  /** Accept no more, close links with `going-away`, resolve when all are gone or after `graceMs`. */
  stop(graceMs: number): Promise<void>
  /** For /metrics: names in snake case with their unit. */
  figures(): Readonly<Record<string, number>>
}

export interface Listener {
  /** e.g. `pike`, `pike-tls`. */
  readonly name: string
  readonly host: string
  readonly port: number
}
