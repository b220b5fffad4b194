import type {
  AppId,
  ChannelName,
  DeviceId,
  LinkId,
  Reason,
  Seen,
  Trail,
} from '../../contract/index.ts'
import { type Connection, type DeviceOrigin, Origin } from './known.ts'
import type { Register } from './register.ts'
import { state, type Way, wayIn, wayOut } from './ring.ts'

/** What trails write to. */
export interface Writer {
  readonly register: Register
  nowMs(): number
  lastMs(): number
  write(
    origin: DeviceOrigin,
    atMs: number,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): void
  writeStranger(origin: Origin, way: Way, type: string, bytes: number, seen: Seen | undefined): void
  end(connection: Connection, reason: string): void
}

/** A connection on which nobody has proved to be anybody, or that is of many. */
export class ConnectionTrail implements Trail {
  readonly #writer: Writer
  readonly #connection: Connection
  readonly #origin: Origin

  constructor(writer: Writer, connection: Connection) {
    this.#writer = writer
    this.#connection = connection
    this.#origin = new Origin(undefined, connection, undefined)
  }

  get token(): LinkId {
    return this.#connection.token
  }

  as(app: AppId, device: DeviceId, channel?: ChannelName): Trail {
    return deviceTrail(this.#writer, this.#connection, app, device, channel)
  }

  frame(way: 'in' | 'out', type: string, bytes: number, seen?: Seen): void {
    this.#writer.writeStranger(this.#origin, way === 'in' ? wayIn : wayOut, type, bytes, seen)
  }

  note(type: string, seen?: Seen): void {
    this.#writer.writeStranger(this.#origin, state, type, 0, seen)
  }

  end(reason: Reason | 'lost'): void {
    this.#writer.end(this.#connection, reason)
  }
}

class DeviceTrail implements Trail {
  readonly #writer: Writer
  readonly #connection: Connection
  readonly #origin: DeviceOrigin

  constructor(writer: Writer, connection: Connection, origin: DeviceOrigin) {
    this.#writer = writer
    this.#connection = connection
    this.#origin = origin
  }

  get token(): LinkId {
    return this.#connection.token
  }

  as(app: AppId, device: DeviceId, channel?: ChannelName): Trail {
    return deviceTrail(this.#writer, this.#connection, app, device, channel)
  }

  frame(way: 'in' | 'out', type: string, bytes: number, seen?: Seen): void {
    const writer = this.#writer
    const origin = this.#origin
    if (!origin.track.listed) origin.track = writer.register.listed(origin.track)
    // To look at the clock would cost more than all the rest of an entry.
    writer.write(origin, writer.lastMs(), way === 'in' ? wayIn : wayOut, type, bytes, seen)
  }

  note(type: string, seen?: Seen): void {
    const writer = this.#writer
    const origin = this.#origin
    if (!origin.track.listed) origin.track = writer.register.listed(origin.track)
    writer.write(origin, writer.nowMs(), state, type, 0, seen)
  }

  end(reason: Reason | 'lost'): void {
    this.#writer.end(this.#connection, reason)
  }
}

function deviceTrail(
  writer: Writer,
  connection: Connection,
  app: AppId,
  device: DeviceId,
  channel: ChannelName | undefined,
): Trail {
  const track = writer.register.track(app, device)
  writer.register.joins(connection, track)
  return new DeviceTrail(writer, connection, new Origin(track, connection, channel))
}

/** What adapters are given while nothing is recorded. */
export class Nothing implements Trail {
  readonly token: LinkId

  constructor(token: LinkId) {
    this.token = token
  }

  as(): Trail {
    return this
  }

  frame(): void {}
  note(): void {}
  end(): void {}
}
