import { coapAttacks } from './coap.ts'
import { floods } from './floods.ts'
import { holdings } from './holding.ts'
import { silences } from './silence.ts'
import type { Attack } from './stage.ts'

/** S1 to S5, in the order of how long they take. */
export const attacks: readonly Attack[] = [...floods, ...holdings, ...coapAttacks, ...silences]
