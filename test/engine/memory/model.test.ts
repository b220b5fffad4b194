import { memorySubject } from '../../support/engine-memory.ts'
import { mailboxModelTest } from '../mailbox-model.ts'

mailboxModelTest('memory', memorySubject, 300)
