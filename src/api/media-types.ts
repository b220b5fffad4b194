/** What a call takes, in words; `takes` of its route. */
export const mediaTypesOf = (takes: Readonly<Record<string, unknown>> | undefined): string =>
  takes === undefined ? 'application/json' : Object.keys(takes).join(' or ')

/** What came, and what this call takes. */
export function mediaTypeSaid(
  came: string | undefined,
  takes: Readonly<Record<string, unknown>> | undefined,
): { detail: string } {
  const short = came === undefined ? 'no Content-Type' : came.slice(0, 100)
  return { detail: `it came with ${short}; this call takes ${mediaTypesOf(takes)}` }
}
