import { coapPart } from './coap.ts'
import { codecBench } from './codec.ts'
import { commandsPart } from './commands.ts'
import { eventsPart } from './events.ts'
import { httpPart } from './http.ts'
import { idlePart } from './idle.ts'
import { latencyPart } from './latency.ts'
import { absentPart, linesPart } from './lines.ts'
import { describeMachine } from './machine.ts'
import { mqttPart } from './mqtt.ts'
import { noisyPart } from './noisy.ts'
import { type Options, readOptions, usage, WrongOptions } from './options.ts'
import { profilePart } from './profile.ts'
import { recorderPart } from './recorder.ts'
import { startPart } from './start.ts'
import { storePart } from './store-part.ts'

async function main(options: Options): Promise<void> {
  console.log(describeMachine())
  const has = (part: Options['only'][number]): boolean => options.only.includes(part)
  if (options.profile) {
    await profilePart(options)
    return
  }
  if (has('store')) await storePart(options)
  const saturated = has('commands') ? await commandsPart(options) : undefined
  if (has('latency')) await latencyPart(options, saturated)
  if (has('lines')) await linesPart(options)
  if (has('absent')) await absentPart(options)
  if (has('events')) await eventsPart(options)
  if (has('mqtt')) await mqttPart(options)
  if (has('coap')) await coapPart(options)
  if (has('http')) await httpPart(options)
  if (has('idle')) await idlePart(options)
  if (has('start')) await startPart(options)
  if (has('noisy')) await noisyPart(options)
  if (has('recorder')) await recorderPart(options)
  if (has('codec')) {
    console.log()
    await codecBench()
  }
}

// Ended from outside, we still end what we started.
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))

try {
  const options = readOptions()
  if (options === undefined) console.log(usage)
  else await main(options)
  process.exit()
} catch (error) {
  if (
    !(error instanceof WrongOptions) &&
    !(error as { code?: string }).code?.startsWith('ERR_PARSE')
  ) {
    throw error
  }
  console.error(`${(error as Error).message}\n\n${usage}`)
  process.exit(2)
}
