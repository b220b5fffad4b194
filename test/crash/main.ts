import { parseArgs } from 'node:util'
import { readConditions } from '../../cli/weather/conditions.ts'
import { runCommand, Wrong } from '../support/command-line.ts'
import type { FaultKind } from './journal.ts'
import { writeJournals } from './journal-file.ts'
import { allParts, readParts } from './parts.ts'
import { speechNames, speechOf } from './protocols.ts'
import { type RunOptions, type RunResult, runFaults, runYoung } from './run.ts'
import { sabotages, serverCommand } from './server.ts'
import { findingLines, table } from './table.ts'
import { Volume } from './volume.ts'

/** 0: nothing found; 1: something found; 2: asked for wrongly; 3: cannot be done on this machine. */
const exitCodes = { clean: 0, found: 1, cannot: 3 } as const

const usage = `Starts the real gateway, loads it, hurts it, and judges what the outside saw.

  npm run crash -- [options]

  --fault kill|stop|pause|disk|power|mix|none
                                           what to do to it; several with commas (kill)
  --rounds N                               how often (20)
  --seed N                                 repeats the same draws (1)
  --protocol ${speechNames.join('|')}
                                           what devices speak (mixed: another at each boot)
  --devices N                              with a client of ours (12)
  --raw N                                  that remember nothing, of each protocol that has such (2)
  --rate N                                 commands a second, in sum (60)
  --seldom N                               devices report and reboot so many times less often (1)
  --round-ms MIN..MAX                      undisturbed time before each fault (400..2000)
  --weather loss=5%,rtt=200ms,…            bad weather between devices and gateway; see pike weather --help
  --pause-ms MIN..MAX                      length of a pause (1000..8000)
  --with PART,PART|all|none                what the load is made of beside plain commands (all):
                                           lines, aliases, broadcasts, schedules, callbacks, webhooks,
                                           cancel, collapse, quota, devices, keys
  --young N                                N power cuts in the first 3 s of new stores, first
  --volume-mb N                            size of the file system for disk and power (96)
  --broken NAME,NAME                       a gateway broken on purpose, which must be caught:
                                           answers-before-write, forgets-stamp, reorders,
                                           forgets-member, skips-event, hands-over-canceled,
                                           mqtt-answers-early, coap-counts-unacknowledged,
                                           http-acknowledges-unasked, forgets-mark
  --hasty                                  end at the first finding
  --json                                   the result as JSON on standard output
  --keep                                   keep the data folder
  --journal FILE                           write down everything seen, as lines of JSON

Disk and power need root and loop devices; without them: exit code 3.`

const kinds: readonly FaultKind[] = ['kill', 'stop', 'pause', 'disk', 'power']

function readOptions(): {
  run: RunOptions
  young: number
  json: boolean
  journal: string | undefined
} {
  const { values } = parseArgs({
    options: {
      fault: { type: 'string', default: 'kill' },
      rounds: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      protocol: { type: 'string', default: 'mixed' },
      devices: { type: 'string', default: '12' },
      raw: { type: 'string', default: '2' },
      rate: { type: 'string', default: '60' },
      seldom: { type: 'string', default: '1' },
      'round-ms': { type: 'string', default: '400..2000' },
      'pause-ms': { type: 'string', default: '1000..8000' },
      weather: { type: 'string' },
      young: { type: 'string', default: '0' },
      'volume-mb': { type: 'string', default: '96' },
      with: { type: 'string', default: 'all' },
      broken: { type: 'string' },
      hasty: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      journal: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    process.exit(exitCodes.clean)
  }
  const number = (name: string, text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new Wrong(`--${name}: "${text}" is no number`)
    return Number(text)
  }
  const range = (name: string, text: string): readonly [number, number] => {
    const match = /^(\d{1,7})(?:\.\.(\d{1,7}))?$/.exec(text)
    if (match === null) throw new Wrong(`--${name}: write it like 400..2000, not "${text}"`)
    return [Number(match[1]), Number(match[2] ?? match[1])]
  }
  const faults = values.fault === 'mix' ? kinds : values.fault.split(',')
  for (const fault of faults) {
    if (fault !== 'none' && !kinds.some((kind) => kind === fault))
      throw new Wrong(`--fault: "${fault}" is none`)
  }
  const broken = values.broken?.split(',') ?? []
  const sabotage = sabotages.filter((name) => broken.includes(name))
  if (sabotage.length < broken.length) {
    throw new Wrong(`--broken: use some of ${sabotages.join(', ')}`)
  }
  const speech = speechOf(values.protocol)
  if (speech === undefined) throw new Wrong(`--protocol: use one of ${speechNames.join(', ')}`)
  const weather = values.weather === undefined ? undefined : readConditions(values.weather)
  if (typeof weather === 'string') throw new Wrong(`--weather: ${weather}`)
  const parts = readParts(values.with)
  if (typeof parts === 'string') throw new Wrong(`--with: "${parts}" is none`)
  return {
    run: {
      parts,
      faults: faults as FaultKind[],
      rounds: number('rounds', values.rounds),
      seed: number('seed', values.seed),
      speech,
      devices: number('devices', values.devices),
      raw: number('raw', values.raw),
      rate: number('rate', values.rate),
      seldom: number('seldom', values.seldom),
      roundMs: range('round-ms', values['round-ms']),
      pauseMs: range('pause-ms', values['pause-ms']),
      volumeMb: number('volume-mb', values['volume-mb']),
      sabotage,
      ...(weather && { weather }),
      ...(values.hasty ? { hasty: true, enough: [] } : {}),
      keep: values.keep,
      progress: showProgress,
    },
    young: number('young', values.young),
    json: values.json,
    journal: values.journal,
  }
}

/** On a terminal one line that changes; else a line a round. */
function showProgress(text: string): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\x1b[2K${text.slice(0, process.stderr.columns)}`)
  else process.stderr.write(`${text}\n`)
}

async function main(): Promise<number> {
  const { run, young, json, journal } = readOptions()
  if (young > 0 || run.faults.includes('disk') || run.faults.includes('power')) {
    const why = await Volume.unavailable()
    if (why !== undefined) {
      console.error(`disk and power cannot be tried on this machine: ${why}`)
      return exitCodes.cannot
    }
  }
  process.stderr.write(`${serverCommand()} serve, seed ${run.seed}\n`)
  const results: RunResult[] = []
  if (young > 0) results.push(...(await runYoung(run, young)))
  if (run.rounds > 0) results.push(await runFaults(run))
  if (process.stderr.isTTY) process.stderr.write('\n')

  const findings = results.flatMap((result) => result.findings)
  if (json) {
    const { faults, rounds, seed, devices, raw, speech, rate, parts = allParts } = run
    console.log(
      JSON.stringify({
        asked: {
          faults,
          rounds,
          seed,
          protocol: speech?.name,
          devices,
          raw,
          rate,
          young,
          with: [...parts],
          broken: run.sabotage,
        },
        results: results.map(({ journal: _, ...result }) => result),
      }),
    )
  } else {
    console.log(table(results))
    if (findings.length > 0) console.log(findingLines(findings))
  }
  if (journal !== undefined)
    writeJournals(
      journal,
      results.map((result) => result.journal),
    )
  for (const { kept } of results) if (kept !== undefined) console.error(`kept: ${kept}`)
  return findings.length === 0 ? exitCodes.clean : exitCodes.found
}

await runCommand(main, usage)
