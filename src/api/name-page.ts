/** A page of a list that is wholly in memory, in order of name. */
export function namePage<T>(
  all: readonly T[],
  nameOf: (item: T) => string,
  query: { readonly after?: string | undefined; readonly limit: number },
): { items: T[]; next: string | null } {
  const { after = '', limit } = query
  const following = all
    .filter((item) => nameOf(item) > after)
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const items = following.slice(0, limit)
  return { items, next: following.length > limit ? nameOf(items.at(-1)!) : null }
}
