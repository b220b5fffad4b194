import type {
  AppId,
  DeadLetter,
  EventId,
  WebhookName,
  WebhookStatus,
  Webhooks,
} from '../../src/contract/index.ts'

/** Nobody is called; what is refused, failing and set aside is the test's. */
export class FakeWebhooks implements Webhooks {
  /** `app/name` of each record that was said to have changed. */
  readonly looked: string[] = []
  /** `app/name`, and the event where one was named, of each call. */
  readonly sent: string[] = []
  readonly discarded: string[] = []
  readonly letters: DeadLetter[] = []
  state: WebhookStatus = {
    delivered: 0,
    failedAttempts: 0,
    waiting: 0,
    behind: false,
    lanesFailing: 0,
    deadLetters: 0,
  }

  async refuses(url: string): Promise<string | undefined> {
    return url.includes('//10.') ? 'points inward: 10.0.0.0/8 is private' : undefined
  }

  changed(app: AppId, name: WebhookName): void {
    this.looked.push(`${app}/${name}`)
  }

  async status(): Promise<WebhookStatus> {
    return { ...this.state, deadLetters: this.letters.length }
  }

  async deadLetters(
    _app: AppId,
    _name: WebhookName,
    { after = '', limit }: { readonly after?: EventId; readonly limit: number },
  ) {
    const all = this.letters.filter(({ event }) => event > after)
    const items = all.slice(0, limit)
    return { items, next: all.length > limit ? items.at(-1)!.event : undefined }
  }

  async sendAgain(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    this.sent.push([app, name, event].filter((part) => part !== undefined).join('/'))
    return this.#meant(event).length
  }

  async discard(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    this.discarded.push([app, name, event].filter((part) => part !== undefined).join('/'))
    const gone = this.#meant(event)
    for (const letter of gone) this.letters.splice(this.letters.indexOf(letter), 1)
    return gone.length
  }

  #meant(event: EventId | undefined): DeadLetter[] {
    return this.letters.filter((letter) => event === undefined || letter.event === event)
  }
}
