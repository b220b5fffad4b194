import { levelSubject } from '../../engine/level/subject.ts'
import { adapterExam } from '../../exams/adapter.exam.ts'
import { mqttSubject } from './subject.ts'

adapterExam(mqttSubject(levelSubject, 4))
adapterExam(mqttSubject(levelSubject, 3))
