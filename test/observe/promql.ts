/**
 * As much of PromQL as rules and dashboards here are written in: enough to say that an expression
 * is one, which metrics it reads and by which labels. What this refuses may be right all the same;
 * what it takes, Prometheus takes. Source: prometheus.io/docs/prometheus/latest/querying/basics.
 */
export interface Read {
  /** Metrics, each with the labels that are matched on it. */
  readonly metrics: ReadonlyMap<string, ReadonlySet<string>>
  /** Labels named by `by`, `on`, `ignoring` and their like. */
  readonly grouped: ReadonlySet<string>
}

const functions = new Set(
  'abs absent changes clamp_max clamp_min histogram_quantile increase max_over_time predict_linear rate time vector'.split(
    ' ',
  ),
)
const aggregations = new Set(['sum', 'count', 'max', 'min', 'avg'])
/** Loosest first. */
const levels: readonly (readonly string[])[] = [
  ['or'],
  ['and', 'unless'],
  ['==', '!=', '<=', '>=', '<', '>'],
  ['+', '-'],
  ['*', '/', '%'],
]

const pattern =
  /\s*(?:(\d+(?:\.\d+)?(?![\w.]))|(\d+(?:ms|[smhdwy]))|("(?:[^"\\\n]|\\.)*")|([A-Za-z_:][\w:]*)|(==|!=|<=|>=|=~|!~|[-+*/%<>=(){}[\],]))/y

interface Token {
  readonly kind: 'number' | 'duration' | 'string' | 'name' | 'sign' | 'end'
  readonly text: string
}

/** @throws Error that says where it stops being PromQL. */
export function readPromql(text: string): Read {
  const tokens = split(text)
  const metrics = new Map<string, Set<string>>()
  const grouped = new Set<string>()
  let at = 0
  const here = (): Token => tokens[at]!
  const is = (...texts: string[]): boolean =>
    here().kind !== 'string' && texts.includes(here().text)
  const fail = (wanted: string): never => {
    throw new Error(`${wanted} expected at "${here().text}", token ${at + 1} of ${text}`)
  }
  const need = (wanted: string): void => {
    if (!is(wanted)) fail(wanted)
    at++
  }
  const needKind = (kind: Token['kind']): string => {
    if (here().kind !== kind) fail(kind)
    return tokens[at++]!.text
  }

  function binary(level: number): void {
    if (level === levels.length) {
      unary()
      return
    }
    binary(level + 1)
    while (is(...levels[level]!)) {
      at++
      if (is('on', 'ignoring')) labels()
      if (is('group_left', 'group_right')) {
        at++
        if (is('(')) list()
      }
      binary(level + 1)
    }
  }

  function unary(): void {
    if (is('-')) at++
    if (here().kind === 'number') at++
    else if (is('(')) {
      at++
      binary(0)
      need(')')
    } else named()
    if (is('offset')) {
      at++
      needKind('duration')
    }
  }

  function named(): void {
    const name = needKind('name')
    if (aggregations.has(name)) {
      if (is('by', 'without')) labels()
      arguments_()
    } else if (is('(')) {
      if (!functions.has(name)) fail('a known function')
      arguments_()
    } else selector(name)
  }

  function arguments_(): void {
    need('(')
    while (!is(')')) {
      binary(0)
      if (!is(')')) need(',')
    }
    need(')')
  }

  function selector(name: string): void {
    const matched = metrics.get(name) ?? new Set()
    metrics.set(name, matched)
    if (is('{')) {
      at++
      while (!is('}')) {
        matched.add(needKind('name'))
        if (!is('=', '!=', '=~', '!~')) fail('a matcher')
        at++
        needKind('string')
        if (!is('}')) need(',')
      }
      at++
    }
    if (!is('[')) return
    at++
    needKind('duration')
    need(']')
  }

  function labels(): void {
    at++
    list()
  }

  function list(): void {
    need('(')
    while (!is(')')) {
      grouped.add(needKind('name'))
      if (!is(')')) need(',')
    }
    at++
  }

  binary(0)
  if (here().kind !== 'end') fail('the end')
  return { metrics, grouped }
}

function split(text: string): readonly Token[] {
  const tokens: Token[] = []
  pattern.lastIndex = 0
  while (text.slice(pattern.lastIndex).trim() !== '') {
    const from = pattern.lastIndex
    const match = pattern.exec(text)
    if (match === null) throw new Error(`no PromQL: ${text.slice(from)}`)
    const kinds = ['number', 'duration', 'string', 'name', 'sign'] as const
    const kind = kinds.find((_, index) => match[index + 1] !== undefined)!
    tokens.push({ kind, text: match[0].trim() })
  }
  return [...tokens, { kind: 'end', text: '' }]
}
