import { type ProtocolName, protocolNames, protocols } from '../protocols.ts'
import type { DemoGateway } from './gateway.ts'
import type { DemoLocker, Stage } from './story.ts'

/** What the second part needs of the first. */
export interface Telling {
  readonly stage: Stage
  readonly gateway: DemoGateway
  tell(text: string): void
  check(holds: boolean, promise: string): void
  /** Stays until the gateway sees it so. */
  presence(device: string, state: string): Promise<void>
}

/** Longest wait for one outcome, s. */
const outcomeMaxS = 20

/** The same door over every protocol there is, and then a locker that changes its protocol. */
export async function tellProtocols(telling: Telling): Promise<void> {
  const { gateway, tell, check, presence } = telling
  tell('A locker for each protocol, and the same for each: open door 7, now or never.')
  let all = true
  for (const protocol of protocolNames) {
    const device = `SZ-${protocol}`
    const { come } = await register(telling, device)
    const locker = come(protocol)
    await Promise.all([presence(device, 'online'), locker.receiving])
    const sent = await gateway.pike.send(
      device,
      { name: 'open', payload: { door: 7 }, delivery: 'now', expect: 'reply' },
      { waitSeconds: outcomeMaxS },
    )
    tell(`  over ${protocols[protocol].title}: ${sent.status}`)
    all &&= sent.status === 'done' && locker.opened.join() === '7'
    await locker.stop()
  }
  check(all, 'a command means the same, and ends the same, whatever the device speaks')

  tell('A locker that changes its protocol; each time a door was asked for while it was away.')
  const device = 'SZ-all'
  const { come } = await register(telling, device)
  const opened: number[] = []
  const asked = [...protocolNames, protocolNames[0]!]
  for (const [index, protocol] of asked.entries()) {
    const { id } = await gateway.pike.send(device, {
      name: 'open',
      payload: { door: index + 1 },
      expect: 'reply',
    })
    const locker = come(protocol)
    const { status } = await gateway.pike.wait(id, outcomeMaxS)
    tell(`  it comes by ${protocols[protocol].title}, and door ${index + 1} is ${status}`)
    await locker.stop()
    await presence(device, 'offline')
    opened.push(...locker.opened)
  }
  check(
    opened.join() === asked.map((_, index) => index + 1).join(),
    'it missed none and opened none twice',
  )
}

async function register({ stage, gateway }: Telling, device: string) {
  const { secret } = await gateway.pike.devices.put(device)
  const come = (protocol: ProtocolName): DemoLocker => {
    const port = gateway.port(protocols[protocol].listener)
    const who = { device, secret: secret!, protocol, port, folder: stage.folder }
    const locker = stage.makeLocker(who, () => {})
    locker.start()
    return locker
  }
  return { come }
}
