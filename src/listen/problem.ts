/** One way in which a call may be refused. Source: RFC 9457. */
export interface Problem {
  readonly status: number
  readonly title: string
  /** What to do next. */
  readonly advice: string
}

/** Where a field at fault stands: `path` is a JSON pointer into that part. */
export interface FieldError {
  readonly in: 'body' | 'query' | 'path' | 'header'
  readonly path: string
  readonly message: string
}

/**
 * What a problem says beside its type, title and status; `detail` is the advice where there is
 * nothing more exact. Times are RFC 3339.
 */
export interface Said {
  readonly detail?: string
  readonly errors?: readonly FieldError[]
  readonly [member: string]: unknown
}

export const problemMediaType = 'application/problem+json'

/** @param name the last part of its `type` URI. */
export const problemView = (name: string, { status, title, advice }: Problem, said?: Said) => ({
  type: `/problems/${name}`,
  title,
  status,
  detail: advice,
  ...said,
})
