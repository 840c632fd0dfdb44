import base from './jest.config.js'

/** Kills, outages and load: one file at a time, and minutes long. FAULTS=short is the form for every change. */
export default {
  ...base,
  roots: ['<rootDir>/test/faults'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 1_200_000,
}
