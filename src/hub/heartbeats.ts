import {
  Fleet,
  Heartbeat,
  type SilenceRange,
  silenceFailed,
  silenceProves,
} from '../channel/index.ts'
import type {
  AppId,
  Clock,
  DeviceId,
  DeviceKey,
  Limits,
  Names,
  Pulse as PulsePort,
  Reason,
  Shelf,
  ShelfChange,
  Silence,
  SilentSince,
  Timer,
} from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'

/** What was learned goes to the store at most this often, at most so many records at once. */
const keepEveryMs = 30_000
const keepMoreMs = 1_000
const keepMaxAtOnce = 1_024
const devicesAt = 'heartbeats/devices'
const networksAt = 'heartbeats/networks'

/** One device in one network. */
interface Place {
  readonly network: string
  readonly heartbeat: Heartbeat
  /** A link of it fell silent then, and was given up; undefined: not. */
  quiet: { readonly fromMs: number; readonly grantedMs: number } | undefined
  /** Silence that began before was judged: several channels fall silent as one. */
  judgedFromMs: number
}

/** All places of one device, the latest last. */
interface Known {
  readonly key: DeviceKey
  places: readonly Place[]
}

/**
 * How long devices may be silent: what each has learned in each network it comes from, and what the
 * networks have learned from their devices.
 *
 *     attach ─▶ load ─▶ arrive ─▶ Pulse: grant, survived, quiet   ◀── attachments
 *                          │                 ╰─▶ fleet of the network
 *                          ╰─▶ the shelf, in groups, a while later: losing it is harmless
 */
export class Heartbeats {
  readonly #shelf: Shelf
  readonly #clock: Clock
  readonly #limits: Limits
  /** The longest unseen first. */
  readonly #devices = new Map<DeviceKey, Known>()
  readonly #fleets = new Map<string, Fleet>()
  readonly #unkept = new Map<string, { encode(): string }>()
  readonly #loading = new Map<DeviceKey, Promise<void>>()
  #timer: Timer | undefined
  /** Until it has ended. */
  #keeping: Promise<void> | undefined
  #stopped = false
  /** Silence that connections did not survive. */
  failures = 0
  /** Silence that they did. */
  proofs = 0

  constructor(shelf: Shelf, clock: Clock, limits: Limits) {
    this.#shelf = shelf
    this.#clock = clock
    this.#limits = limits
  }

  get devices(): number {
    return this.#devices.size
  }

  get networks(): number {
    return this.#fleets.size
  }

  /** Resolves when what is known of it is at hand. Never rejects: at worst it learns anew. */
  load(app: AppId, device: DeviceId, { network }: Silence): Promise<void> | undefined {
    const key = deviceKey(app, device)
    if (this.#devices.has(key) && this.#fleets.has(network)) return undefined
    let loading = this.#loading.get(key)
    if (loading === undefined) {
      loading = this.#load(key, network).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    return loading
  }

  /** It is there. If it fell silent before, and is back as one is whom a NAT forgot, that counts. */
  arrive(app: AppId, device: DeviceId, silence: Silence, deviceClass: unknown): Pulse {
    const key = deviceKey(app, device)
    const known = this.#devices.get(key) ?? { key, places: [] }
    const place = this.#enter(known, silence.network)
    const range = this.#range(silence, deviceClass)
    const nowMs = this.#clock.nowMs()
    for (const each of known.places) {
      const { quiet } = each
      each.quiet = undefined
      // Elsewhere by now: it moved, and that was why.
      if (quiet === undefined || each !== place) continue
      const { grantedMs, fromMs } = quiet
      const patience = silence.patience ?? 0
      if (!silenceFailed({ silentMs: nowMs - fromMs, grantedMs, patience })) continue
      this.failures++
      place.heartbeat.failed(range, grantedMs, nowMs)
      this.#learned(known)
    }
    return new Pulse(this, known, place, range, silence.startMs ?? this.#limits.keepaliveStartMs)
  }

  /** For a device whose record says of which class it is; of the others it is not for us to say. */
  async ofClass(
    names: Pick<Names, 'device'>,
    app: AppId,
    device: DeviceId,
    silence: Silence,
  ): Promise<Pulse | undefined> {
    try {
      const deviceClass = (await names.device(app, device))?.attributes.class
      if (deviceClass !== 'battery' && deviceClass !== 'powered') return undefined
      await this.load(app, device, silence)
      return this.arrive(app, device, silence, deviceClass)
    } catch {
      return undefined // the store is away
    }
  }

  /** What a device in this place may be told now, ms. */
  grant({ place, range, startMs }: Pulse): number {
    const fleet = this.#fleets.get(place.network)
    return place.heartbeat.grant(range, fleet, this.#clock.nowMs(), startMs)
  }

  survived({ known, place, range }: Pulse, grantedMs: number): void {
    const { heartbeat } = place
    const provenMs = heartbeat.provenMs
    heartbeat.survived(grantedMs)
    this.proofs++
    const news = heartbeat.news(range)
    if (news !== undefined) this.#fleet(place.network).move(news.from, news.to)
    if (news !== undefined || heartbeat.provenMs !== provenMs) this.#learned(known)
  }

  /** What a device has proved where it was last, if that is at hand; undefined: nothing. */
  provenMs(app: AppId, device: DeviceId): number | undefined {
    const provenMs = this.#devices.get(deviceKey(app, device))?.places.at(-1)?.heartbeat.provenMs
    return provenMs === 0 ? undefined : provenMs
  }

  forget(app: AppId, device: DeviceId): void {
    const key = deviceKey(app, device)
    this.#devices.delete(key)
    this.#keepSoon(`${devicesAt}/${key}`, { encode: () => '' })
  }

  /** Keep what is not kept yet, as far as that goes at once. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#keeping
    await this.#keep(8 * keepMaxAtOnce)
  }

  #range({ minMs = 0, maxMs = 0 }: Silence, deviceClass: unknown): SilenceRange {
    const { keepaliveMinMs, keepaliveMaxMs, keepaliveStartMs, keepalivePoweredMaxMs } = this.#limits
    const most = deviceClass === 'battery' ? keepaliveMaxMs : keepalivePoweredMaxMs
    const bounded = (ms: number): number => Math.min(keepaliveMaxMs, Math.max(keepaliveMinMs, ms))
    const least = bounded(minMs > 0 ? minMs : keepaliveStartMs)
    const max = bounded(maxMs > 0 ? maxMs : Math.max(most, least))
    // What it takes at most decides where the two disagree.
    return { minMs: Math.min(least, max), maxMs: max }
  }

  #enter(known: Known, network: string): Place {
    let place = known.places.find((one) => one.network === network)
    const others = known.places.filter((one) => one !== place)
    place ??= { network, heartbeat: new Heartbeat(), quiet: undefined, judgedFromMs: 0 }
    known.places = [...others, place].slice(-this.#limits.heartbeatNetworksPerDevice)
    this.#devices.delete(known.key)
    this.#devices.set(known.key, known)
    this.#bound(this.#devices, this.#limits.heartbeatDevicesMax)
    return place
  }

  #fleet(network: string): Fleet {
    const fleet = this.#fleets.get(network) ?? new Fleet()
    this.#fleets.delete(network)
    this.#fleets.set(network, fleet)
    this.#bound(this.#fleets, this.#limits.heartbeatNetworksMax)
    this.#keepSoon(`${networksAt}/${network}`, fleet)
    return fleet
  }

  /** Those unseen for longest go; what was kept of them can be read again. */
  #bound(map: Map<string, unknown>, max: number): void {
    for (const oldest of map.keys()) {
      if (map.size <= max) return
      map.delete(oldest)
    }
  }

  #learned(known: Known): void {
    this.#keepSoon(`${devicesAt}/${known.key}`, {
      encode: () =>
        known.places.map(({ network, heartbeat }) => `${network}=${heartbeat.encode()}`).join(';'),
    })
  }

  #keepSoon(path: string, what: { encode(): string }): void {
    this.#unkept.set(path, what)
    this.#bound(this.#unkept, this.#limits.heartbeatDevicesMax)
    this.#arm(keepEveryMs)
  }

  #arm(inMs: number): void {
    if (this.#timer !== undefined || this.#keeping !== undefined || this.#stopped) return
    this.#timer = this.#clock.at(this.#clock.nowMs() + inMs, 'heartbeats', () => {
      this.#timer = undefined
      void this.#keep(keepMaxAtOnce)
    })
  }

  #keep(max: number): Promise<void> {
    const changes: ShelfChange[] = []
    for (const [path, what] of this.#unkept) {
      if (changes.length >= max) break
      this.#unkept.delete(path)
      changes.push({ path, value: what.encode() || undefined })
    }
    if (changes.length === 0) return Promise.resolve()
    // What cannot be kept now is learned again.
    const over = (): void => {
      this.#keeping = undefined
      if (this.#unkept.size > 0) this.#arm(keepMoreMs)
    }
    this.#keeping = this.#shelf.write(changes).then(over, over)
    return this.#keeping
  }

  async #load(key: DeviceKey, network: string): Promise<void> {
    try {
      const [kept, fleet] = await Promise.all([
        this.#shelf.read(`${devicesAt}/${key}`),
        this.#fleets.has(network) ? undefined : this.#shelf.read(`${networksAt}/${network}`),
      ])
      if (!this.#fleets.has(network)) {
        this.#fleets.set(network, new Fleet(fleet))
        this.#bound(this.#fleets, this.#limits.heartbeatNetworksMax)
      }
      if (kept === undefined || this.#devices.has(key)) return
      const places = kept.split(';').map((text): Place => {
        const [name = '', learned] = text.split('=')
        const heartbeat = new Heartbeat(learned)
        return { network: name, heartbeat, quiet: undefined, judgedFromMs: 0 }
      })
      this.#devices.set(key, { key, places })
    } catch {
      // The store is away: whoever attaches now hears that elsewhere.
    }
  }
}

/** What the links of one device from one network are timed by. */
export class Pulse implements PulsePort {
  readonly known: Known
  readonly place: Place
  readonly range: SilenceRange
  readonly startMs: number
  readonly #heartbeats: Heartbeats

  constructor(
    heartbeats: Heartbeats,
    known: Known,
    place: Place,
    range: SilenceRange,
    startMs: number,
  ) {
    this.#heartbeats = heartbeats
    this.startMs = startMs
    this.known = known
    this.place = place
    this.range = range
  }

  grant(): number {
    return this.#heartbeats.grant(this)
  }

  heard({ silentFromMs, keepaliveMs }: SilentSince, nowMs: number): void {
    if (!silenceProves(nowMs - silentFromMs, keepaliveMs)) return
    this.#heartbeats.survived(this, keepaliveMs)
  }

  /** Whether it was the network's doing is seen when its device is back. */
  left({ silentFromMs, keepaliveMs }: SilentSince, why: Reason | 'lost'): void {
    const { place } = this
    if (!fellSilent.has(why) || silentFromMs <= place.judgedFromMs) return
    place.judgedFromMs = silentFromMs
    place.quiet = { fromMs: silentFromMs, grantedMs: keepaliveMs }
  }
}

/** Ends of which nobody heard, and nobody said goodbye. */
const fellSilent: ReadonlySet<Reason | 'lost'> = new Set([
  'taken-over',
  'unresponsive',
  'keepalive-expired',
])
