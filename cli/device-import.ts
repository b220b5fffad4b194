import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { Command } from 'commander'
import type { ImportAnswer } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { beginning, linesOf, openInput } from './input.ts'
import { otherOutcome } from './outcome.ts'
import { print, printJson } from './print.ts'
import { Progress } from './progress.ts'
import { Refusals } from './refusals.ts'

interface Options extends ApiOptions {
  readonly csv?: true
  readonly out?: string
  readonly json?: true
}

export const deviceImportCommand = (): Command =>
  withApi(new Command('import'))
    .summary('register many devices from a file')
    .description(
      'Registers or changes many devices: one JSON object a line, or CSV with a header row. A line that is refused is named and fails alone. Secrets made for new devices are written to --out, this once; without it they go to standard output.',
    )
    .argument('<file>', 'NDJSON or CSV, told apart by name or first line; - reads standard input')
    .option(
      '--csv',
      'it is CSV: columns device, secret, disabled, tags (joined by ;), attributes.NAME',
    )
    .option('--out <file>', 'new file for the secrets made, readable by you only (mode 0600)')
    .option('--json', 'for a script: the answer to each line as one JSON object')
    .addHelpText(
      'after',
      `
Exit codes:
  0  every line was taken
  1  it did not get through: no file, no gateway, ...
  2  some lines were refused; each is named, the others were taken

A line of NDJSON:
  {"device":"SZ-0042","tags":["berlin"],"attributes":{"doors":12}}

Examples:
  pike device import lockers.ndjson --out secrets.ndjson
  pike device import lockers.csv --out secrets.csv
  generate-lockers | pike device import - --out secrets.ndjson`,
    )
    .action(async (file: string, given: Options) => {
      const pike = connect(given)
      const { first, input } = await beginning(await openInput(file))
      const options: Options =
        given.csv || looksLikeCsv(file, first) ? { ...given, csv: true } : given
      const secrets = new Secrets(options)
      const progress = new Progress('devices')
      const refusals = new Refusals(() => progress.break(), options.csv ? 'row' : 'line')
      const counts = { registered: 0, changed: 0, maybe: 0 }
      try {
        const answers = options.csv
          ? pike.devices.importCsv(input)
          : pike.devices.import(linesOf(input))
        for await (const answer of answers) {
          if (options.json) printJson(answer)
          take(answer, secrets, refusals, counts)
          progress.add()
        }
      } finally {
        progress.end()
        secrets.close()
      }
      if (!options.json && options.out !== undefined)
        print(
          `${counts.registered} registered, ${counts.changed} changed, ${refusals.count} refused; ${secrets.count} secrets in ${options.out}`,
        )
      else
        process.stderr.write(
          `${counts.registered} registered, ${counts.changed} changed, ${refusals.count} refused\n`,
        )
      if (counts.maybe > 0)
        process.stderr.write(
          `${counts.maybe} of those changed may be new, with a secret that was lost with the connection; "pike device rotate-secret" gives another\n`,
        )
      if (refusals.end()) process.exitCode = otherOutcome
    })

/** By the name; a name that says nothing, by what it begins with: a line of NDJSON is an object. */
function looksLikeCsv(file: string, first: string): boolean {
  const [extension] = /\.(csv|ndjson|jsonl|json)$/i.exec(file) ?? []
  if (extension !== undefined) return extension.toLowerCase() === '.csv'
  const text = first.trimStart()
  return text !== '' && !text.startsWith('{')
}

function take(
  answer: ImportAnswer,
  secrets: Secrets,
  refusals: Refusals,
  counts: { registered: number; changed: number; maybe: number },
): void {
  if ('problem' in answer) {
    refusals.add(answer.line, answer.problem)
    return
  }
  if (answer.status === 201) counts.registered++
  else counts.changed++
  if (answer.secret !== undefined) secrets.write(answer.device, answer.secret)
  if (answer.maybeRegistered) {
    counts.maybe++
    refusals.note(
      answer.line,
      `${answer.device} may have been registered with a secret that is lost`,
    )
  }
}

/** Where secrets go: shown once, so each is written before the next line is looked at. */
class Secrets {
  readonly #fd: number | undefined
  readonly #csv: boolean
  readonly #silent: boolean
  count = 0

  constructor({ out, csv, json }: Options) {
    this.#csv = csv === true
    // With --json they are in the answers.
    this.#silent = out === undefined && json === true
    if (out === undefined) return
    try {
      // Never over a file that may hold the secrets of an earlier run.
      this.#fd = openSync(out, 'wx', 0o600)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new Failure(
        code === 'EEXIST'
          ? `${out} is there already and may hold secrets; name another file with --out`
          : `${out} cannot be written (${code})`,
      )
    }
    if (this.#csv) this.#line('device,secret')
  }

  write(device: string, secret: string): void {
    if (this.#silent) return
    if (this.#fd === undefined && this.#csv && this.count === 0) this.#line('device,secret')
    this.count++
    // Neither holds a comma or a quote: one is an identifier, the other base64.
    this.#line(this.#csv ? `${device},${secret}` : JSON.stringify({ device, secret }))
  }

  close(): void {
    if (this.#fd === undefined) return
    fsyncSync(this.#fd)
    closeSync(this.#fd)
  }

  #line(text: string): void {
    if (this.#fd === undefined) print(text)
    else writeSync(this.#fd, `${text}\n`)
  }
}
