import { collectDefaultMetrics, Registry } from 'prom-client'
import { type Counts, endStatuses, type Limits, type SlaSeries } from '../contract/index.ts'
import { slaText } from './sla-text.ts'

/** Somebody who counts: names in snake case with their unit, read when asked. */
export interface FigureSource {
  /** e.g. `pike_engine_`. */
  readonly prefix: string
  readonly labels?: Readonly<Record<string, string>>
  figures(): Readonly<Record<string, number>>
}

/**
 * What /metrics says: the process (memory, CPU, event-loop delay, descriptors), then the figures of
 * engine, hub and adapters, read at the moment of asking, so that counting costs nobody anything.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #sources: FigureSource[] = []
  #sla: () => readonly SlaSeries[] = () => []
  #limits = ''
  readonly #counts: () => Promise<ReadonlyMap<string, Counts>>

  /** @param counts of every app, by its name. */
  constructor(counts: () => Promise<ReadonlyMap<string, Counts>>) {
    this.#counts = counts
    collectDefaultMetrics({ register: this.#registry })
  }

  add(source: FigureSource): void {
    this.#sources.push(source)
  }

  /** Service figures: counters and histograms by app, protocol and class. */
  addSla(sla: () => readonly SlaSeries[]): void {
    this.#sla = sla
  }

  /** So that a rule or a panel can say how near to its bound something is. */
  addLimits(limits: Limits): void {
    const families = new Families()
    for (const [limit, value] of Object.entries(limits))
      families.add('pike_limit', { limit }, value)
    this.#limits = families.text()
  }

  /** Prometheus text, as of now. */
  async scrape(): Promise<{ contentType: string; body: string }> {
    const families = new Families()
    for (const { prefix, labels = {}, figures } of this.#sources) {
      for (const [name, value] of Object.entries(figures()))
        families.add(`${prefix}${name}`, labels, value)
    }
    for (const [app, counts] of await this.#counts()) {
      families.add('pike_commands_accepted_total', { app }, counts.accepted)
      families.add('pike_commands_open', { app }, counts.open)
      // Each status from the start: the first of its kind must be an increase too.
      for (const status of endStatuses)
        families.add('pike_commands_ended_total', { app, status }, counts.ended[status] ?? 0)
      families.add('pike_commands_unaccounted', { app }, unaccounted(counts))
    }
    return {
      contentType: this.#registry.contentType,
      body: `${await this.#registry.metrics()}\n${families.text()}${slaText(this.#sla())}${this.#limits}`,
    }
  }
}

/** Rule 11: accepted = ended + open. Anything but 0 is our bug. */
export function unaccounted(counts: Counts): number {
  let ended = 0
  for (const count of Object.values(counts.ended)) ended += count
  return counts.accepted - counts.open - ended
}

/**
 * All lines of one name must stand together, whoever gave them.
 * Source: Prometheus text format 0.0.4, "Grouping and sorting".
 */
class Families {
  readonly #lines = new Map<string, string[]>()

  add(rawName: string, labels: Readonly<Record<string, string>>, value: number): void {
    const name = rawName.replace(/[^a-zA-Z0-9_:]/g, '_')
    let lines = this.#lines.get(name)
    if (lines === undefined) {
      lines = [`# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`]
      this.#lines.set(name, lines)
    }
    const inside = Object.entries(labels)
      .map(([label, text]) => `${label}="${text.replace(/["\\\n]/g, '_')}"`)
      .join(',')
    lines.push(`${name}${inside === '' ? '' : `{${inside}}`} ${value}`)
  }

  text(): string {
    return [...this.#lines.values()].flat().concat('').join('\n')
  }
}
