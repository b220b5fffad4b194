import { mailboxExam } from '../../exams/mailbox.exam.ts'
import { memorySubject } from '../../support/engine-memory.ts'

mailboxExam('memory', memorySubject)
