import type { Conditions } from './conditions.ts'

/** Something that stands between devices and a gateway. */
export interface Relay {
  readonly port: number
  readonly figures: Figures
  /** The weather changes; what is connected comes again. */
  become(conditions: Conditions): void
  stop(): Promise<void>
}

/** What it did, counted. */
export interface Figures {
  links: number
  carried: number
  /** Datagrams that never came. */
  lost: number
  resets: number
  /** Links that died without a word. */
  silenced: number
  /** New addresses of devices that send datagrams. */
  rebinds: number
}

export const noFigures = (): Figures => ({
  links: 0,
  carried: 0,
  lost: 0,
  resets: 0,
  silenced: 0,
  rebinds: 0,
})

export interface RelayOptions {
  /** Where it listens; port 0: any free one. */
  readonly host: string
  readonly port: number
  readonly to: { readonly host: string; readonly port: number }
  readonly conditions: Conditions
  /** Chance is the same for the same seed, link by link in the order they come. */
  readonly seed: number
}

/** Links of one relay; who comes then is cut off. */
export const linksMax = 50_000
