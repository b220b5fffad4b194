interface Page<T> {
  readonly items: readonly T[]
  readonly next: string | undefined
}

/** What follows `after` in order of name. */
export function pageOf<T>(
  all: Iterable<T>,
  nameOf: (item: T) => string,
  { after = '', limit }: { readonly after?: string; readonly limit: number },
): Page<T> {
  const following = [...all]
    .filter((item) => nameOf(item) > after)
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const items = following.slice(0, limit)
  const last = items.at(-1)
  const more = following.length > items.length && last !== undefined
  return { items, next: more ? nameOf(last) : undefined }
}
