import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino'

export type Log = Logger

/** Log lines waiting for a reader that does not read. Above: they are dropped, we go on. */
const logMaxBytes = 1_048_576

/**
 * One line an event. Every line has `event`, a stable dotted name; the sentence in `msg` is for
 * people and may change.
 *
 *     {"level":"info","time":"2026-11-20T12:00:00.000Z","event":"gateway.stopping","msg":"…"}
 *
 * JSON, or text for people where a terminal reads along. Goes to standard error: standard output
 * belongs to what programs read, such as the ready line.
 */
export function createLog(options: {
  readonly level: string
  readonly human: boolean
  /** For tests. */
  readonly to?: DestinationStream
}): { readonly log: Log; flush(): void } {
  // Asynchronous with a bound: whoever stops reading our log must not stop our doors.
  const sink =
    options.to === undefined
      ? destination({ dest: 2, sync: false, maxLength: logMaxBytes })
      : undefined
  sink?.on('error', () => {})
  const to = options.to ?? sink!
  const stream: DestinationStream = options.human
    ? { write: (line: string) => to.write(humanLine(line)) }
    : to
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths, censor: '********' },
    },
    stream,
  )
  return {
    log,
    flush: () => {
      try {
        sink?.flushSync()
      } catch {
        // Not open yet, or the reader is gone: nobody to tell.
      }
    },
  }
}

/** How parts without levels of their own tell what happened. */
export type EventLog = (event: string, fields: object) => void

/** What an operator should look at though nobody asked; everything else is `info`. */
const warnings = /(?:failed|conflict|wrong-secret|full|down|lost|broken|surprise)$/

export function eventLog(log: Log): EventLog {
  return (event, fields) => {
    const state = 'state' in fields ? fields.state : undefined
    const grave = warnings.test(event) || state === 'full' || state === 'down'
    log[grave ? 'warn' : 'info']({ event, ...fields })
  }
}

/** Promise 8: secrets are never logged. A net below the rule that nobody hands them to the log. */
const secretPaths = ['secret', 'apiKey', 'key', 'authorization', 'proof'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
])

/** `12:00:00.000 warn  link.closed  what happened  device=SZ-0042 reason=too-slow` */
export function humanLine(line: string): string {
  let entry: Record<string, unknown>
  try {
    entry = JSON.parse(line) as Record<string, unknown>
  } catch {
    return line
  }
  const { level, time, event, msg, err, ...rest } = entry
  const parts = [String(time).slice(11, 23), String(level).padEnd(5)]
  if (event !== undefined) parts.push(String(event))
  if (msg !== undefined) parts.push(` ${String(msg)}`)
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  if (fields.length > 0) parts.push(` ${fields.join(' ')}`)
  const stack = (err as { stack?: string; message?: string } | undefined) ?? undefined
  return `${parts.join(' ')}\n${stack === undefined ? '' : `${stack.stack ?? stack.message}\n`}`
}
