import type { TestContext } from 'node:test'
import { coapSubject } from '../adapters/coap/subject.ts'
import { httpSubject } from '../adapters/http/subject.ts'
import { mqttSubject } from '../adapters/mqtt/subject.ts'
import { mqtt5Subject } from '../adapters/mqtt/v5/subject.ts'
import { pikeSubject } from '../adapters/pike/subject.ts'
import { levelSubject } from '../engine/level/subject.ts'
import {
  AdapterRig,
  type AdapterSubject,
  type Door,
  type ExamDevice,
  secretOf,
} from '../support/adapter-subject.ts'

const subjects = {
  pike: pikeSubject(levelSubject),
  mqtt: mqttSubject(levelSubject, 4),
  mqtt5: mqtt5Subject(levelSubject),
  coap: coapSubject(levelSubject),
  http: httpSubject('poll', levelSubject),
} satisfies Record<string, AdapterSubject>

export type Protocol = keyof typeof subjects
export const protocols = Object.keys(subjects) as Protocol[]

/**
 * One gateway that speaks all protocols, over real sockets and on a real store, in virtual time; at
 * the device's end a client of each protocol, which knows nothing of the others.
 */
export class Street {
  readonly rig: AdapterRig
  readonly #doors: ReadonlyMap<Protocol, Door>
  readonly #devices = new Map<ExamDevice, Protocol>()

  private constructor(rig: AdapterRig, doors: ReadonlyMap<Protocol, Door>) {
    this.rig = rig
    this.#doors = doors
  }

  /** With the device `locker`, registered. */
  static async make(t: TestContext): Promise<Street> {
    const doors = new Map<Protocol, Door>()
    const all = async (what: (door: Door) => Promise<void>): Promise<void> => {
      for (const door of doors.values()) await what(door)
    }
    const rig = await AdapterRig.make(t, {
      name: 'all protocols',
      engine: levelSubject,
      can: {},
      async start(core, clock) {
        for (const protocol of protocols) {
          doors.set(protocol, await subjects[protocol].start(core, clock))
        }
        return {
          device: () => {
            throw new Error('by which protocol?')
          },
          kill: () => all((door) => door.kill()),
          stop: () => all((door) => door.stop()),
        }
      },
    })
    await rig.register()
    return new Street(rig, doors)
  }

  /** One firmware of the locker; several may claim to be it. */
  locker(protocol: Protocol, secret = secretOf('locker')): ExamDevice {
    const door = this.#doors.get(protocol)!
    const device = door.device({ device: 'locker', secret })
    this.#devices.set(device, protocol)
    return device
  }

  /** The process dies and another starts on what it left; devices know where it is. */
  async crash(): Promise<void> {
    await this.rig.crash()
    for (const [device, protocol] of this.#devices) device.move(this.#doors.get(protocol)!)
  }

  /** The answer of something a device does, while time goes on. */
  async answer<Answer>(asked: Promise<Answer>): Promise<Answer> {
    let done = false
    const mark = (): void => {
      done = true
    }
    asked.then(mark, mark)
    await this.rig.until('it is answered', () => done)
    return asked
  }

  /** Its connection is gone, and the gateway has noticed or had time to. */
  async darkens(device: ExamDevice): Promise<void> {
    await device.drop()
    await this.rig.pass(61_000)
  }
}

export const namesOf = ({ received }: ExamDevice): string[] => received.map(({ name }) => name)

/** An application that hangs: what it got it neither acknowledges nor answers. */
export const hangs = (): Promise<never> => new Promise(() => {})
