import type { AdapterSubject, Door, ExamReply, Identity } from './adapter-subject.ts'

/** A command that a controller got for one of the devices it speaks for. */
export interface GatewayCommand {
  readonly device: string
  readonly id: string
  readonly name: string
}

/**
 * A controller's end: it proves itself as itself, and speaks for devices that granted it that.
 * Answers are in its protocol's own words, where they are refusals: `0x87 not granted`.
 */
export interface ExamGateway {
  connect(): Promise<void>
  /** Receives one channel of a device from now on. Resolves with `attached`, or a refusal. */
  receive(device: string, channel?: string): Promise<string>
  /** Everything it got, in order. Each is acknowledged at once, or answered by `act`. */
  readonly received: GatewayCommand[]
  act: (command: GatewayCommand) => ExamReply | undefined
  /** Reports for a device. Resolves with `kept`, or a refusal. */
  report(device: string, name: string, channel?: string): Promise<string>
  /** Receives no more for that device. */
  stop(device: string): Promise<void>
  drop(): Promise<void>
}

/** A started adapter, as devices and whoever measures find it. */
export interface GatewayDoor extends Door {
  readonly port: number
  figures(): Readonly<Record<string, number>>
}

/** A protocol that sits the exam of grants. */
export interface GatewaySubject extends AdapterSubject {
  start(...given: Parameters<AdapterSubject['start']>): Promise<GatewayDoor>
  gateway(door: GatewayDoor, identity: Identity): ExamGateway
  /** The figure that counts who asked for what it was not granted. */
  readonly refusedTotal: string
  /** What it is told. A channel that is not there is named, where the protocol has words. */
  readonly words: {
    readonly ungranted: RegExp
    readonly unknownChannel: RegExp
    /** Of a report; left out: as of what it receives. */
    readonly reportUngranted?: RegExp
    readonly reportUnknownChannel?: RegExp
  }
}
