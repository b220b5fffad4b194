import { levelSubject } from '../../engine/level/subject.ts'
import { grantsExam } from '../../exams/grants.exam.ts'
import { httpGatewaySubject } from './gateway-subject.ts'

grantsExam(httpGatewaySubject(levelSubject))
