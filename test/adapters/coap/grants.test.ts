import { levelSubject } from '../../engine/level/subject.ts'
import { grantsExam } from '../../exams/grants.exam.ts'
import { coapGatewaySubject } from './gateway-subject.ts'

grantsExam(coapGatewaySubject(levelSubject))
