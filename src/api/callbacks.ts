import type { AppId, Clock, Names, Webhooks } from '../contract/index.ts'
import { callbacksName } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { fieldRefusal, type Refusal } from './problems.ts'

/** Why a URL is not called, as far as that is known by now. */
interface Verdict {
  readonly untilMs: number
  why: string | undefined
  /** Resolves once `why` stands; undefined once it does. */
  asked: Promise<void> | undefined
}

/**
 * May a command's outcome be posted there?
 *
 * Asking takes a look-up of the host's name, so the answer is remembered for a few seconds: thousands
 * of commands name the same URL. Nothing hangs on it, since addresses are checked again whenever one
 * is called.
 */
export class Callbacks {
  readonly #names: Pick<Names, 'webhooks'>
  readonly #webhooks: Pick<Webhooks, 'refuses'>
  readonly #clock: Clock
  readonly #verdicts = new Map<string, Verdict>()

  constructor(names: Pick<Names, 'webhooks'>, webhooks: Pick<Webhooks, 'refuses'>, clock: Clock) {
    this.#names = names
    this.#webhooks = webhooks
    this.#clock = clock
  }

  /** May answer at once. undefined: it may. */
  refuses(app: AppId, url: string): Refusal | undefined | Promise<Refusal | undefined> {
    if (!isWeb(url)) return fieldRefusal('body', '/callback', 'must be an http or https URL')
    const verdict = this.#verdict(url)
    return verdict.asked === undefined
      ? this.#refusal(app, verdict)
      : verdict.asked.then(() => this.#refusal(app, verdict))
  }

  #refusal(app: AppId, { why }: Verdict): Refusal | undefined {
    if (why !== undefined) return fieldRefusal('body', '/callback', why)
    const signed = this.#names.webhooks(app).some(({ name }) => name === callbacksName)
    return signed ? undefined : { problem: 'no-callback-secret' }
  }

  #verdict(url: string): Verdict {
    const nowMs = this.#clock.nowMs()
    const known = this.#verdicts.get(url)
    if (known !== undefined && known.untilMs > nowMs) return known
    if (this.#verdicts.size >= apiBounds.callbacksKnownMax) this.#verdicts.clear()
    const verdict: Verdict = {
      untilMs: nowMs + apiBounds.callbackKnownMs,
      why: undefined,
      asked: undefined,
    }
    verdict.asked = this.#webhooks.refuses(url).then(
      (why) => {
        verdict.why = why
        verdict.asked = undefined
      },
      (error: unknown) => {
        this.#verdicts.delete(url)
        throw error
      },
    )
    this.#verdicts.set(url, verdict)
    return verdict
  }
}

function isWeb(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol } = new URL(url)
  return protocol === 'http:' || protocol === 'https:'
}
