import type { Track } from './known.ts'

/** Tells whoever follows a device that there is more, once a turn. */
export class Followers {
  /** Devices with something new. */
  readonly #fresh = new Set<Track>()
  #telling = false

  tell(track: Track): void {
    this.#fresh.add(track)
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(this.#told)
  }

  readonly #told = (): void => {
    this.#telling = false
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    for (const track of fresh) for (const heard of [...(track.followers ?? [])]) heard()
  }
}
