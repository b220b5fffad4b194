import { levelSubject } from '../../engine/level/subject.ts'
import { grantsExam } from '../../exams/grants.exam.ts'
import { pikeGatewaySubject } from './gateway-subject.ts'

grantsExam(pikeGatewaySubject(levelSubject))
