import type { Talk } from './talk.ts'

const answered = '/problems/not-found'
const status = /HTTP\/1\.[01] (\d{3}) /g
/** "Not now", "not here", "no room": anything else above 500 is a mistake of ours. */
const honest = new Set([501, 503, 505, 507])

/** Either HTTP, to devices or back ends. */
export class HttpTalk implements Talk {
  readonly hello = undefined
  readonly probe: Buffer
  readonly isIn = true
  answers = 0
  nonsense: string | undefined
  #tail = ''
  #begun = false

  /** @param path one there is nothing at. @param authorization the header, whole. */
  constructor(path: string, authorization: string) {
    this.probe = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n${authorization}\r\n\r\n`)
  }

  hear(chunk: Buffer): void {
    const text = this.#tail + chunk.toString('latin1')
    if (!this.#begun) {
      this.#begun = true
      if (!text.startsWith('HTTP/1.')) this.nonsense = `begins with ${text.slice(0, 80)}`
    }
    for (const [, code] of text.matchAll(status)) {
      if (Number(code) >= 500 && !honest.has(Number(code)))
        this.nonsense ??= `${code}: ${text.slice(0, 600)}`
    }
    if (text.includes(answered)) {
      this.answers++
      this.#tail = ''
    } else this.#tail = text.slice(-40)
  }
}
