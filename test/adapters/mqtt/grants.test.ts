import { levelSubject } from '../../engine/level/subject.ts'
import { grantsExam } from '../../exams/grants.exam.ts'
import { mqttGatewaySubject } from './gateway-subject.ts'

grantsExam(mqttGatewaySubject(levelSubject, 4))
grantsExam(mqttGatewaySubject(levelSubject, 5))
