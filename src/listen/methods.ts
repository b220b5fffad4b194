/** Which methods each path takes, so that another one is told so and not that there is no such call. */
export class Methods {
  readonly #byUrl = new Map<string, Set<string>>()
  #known: readonly { readonly pattern: RegExp; readonly methods: ReadonlySet<string> }[] | undefined

  /** @param url as the router has it: `/v1/devices/:device`, `/docs/static/*`. */
  add(method: string | readonly string[], url: string): void {
    const methods = this.#byUrl.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    this.#byUrl.set(url, methods)
    this.#known = undefined
  }

  /** In order; none: there is no such path. */
  of(path: string): readonly string[] {
    this.#known ??= [...this.#byUrl].map(([url, methods]) => ({ pattern: patternOf(url), methods }))
    const all = new Set<string>()
    for (const { pattern, methods } of this.#known)
      if (pattern.test(path)) for (const method of methods) all.add(method)
    return [...all].sort()
  }
}

const patternOf = (url: string): RegExp =>
  new RegExp(
    `^${url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replace(/:[A-Za-z]+/g, '[^/]+')}$`,
  )
