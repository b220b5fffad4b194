import { mailboxModelTest } from '../mailbox-model.ts'
import { levelSubject } from './subject.ts'

mailboxModelTest('level', levelSubject, 25)
