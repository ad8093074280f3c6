// The CLI's public face: the tree of commands, for tests and for whoever documents it. `main.ts` is the program itself.
export { readConfig, defaultHost, type CliConfig } from './config.ts';
export { createProgram, runProgram, usageProblem, type Program } from './program/program.ts';
